/**
 * The form: one labelled slider or menu a setting. A slider's value is the place in its list; what it says is the
 * value.
 */

import { ALL } from "./settings.js";

const element = (name, attributes, ...children) => {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
};

/**
 * Fill every `[data-group]` of the page with its controls.
 *
 * @param change called as `change(name, value, { final })`; `final` once a slider is let go.
 * @returns `show(state)`, which sets all of them.
 */
export function controls(change) {
  const shows = Object.entries(ALL).map(([name, setting]) => {
    const [made, show] = setting.slides ? slider(name, setting, change) : menu(name, setting, change);
    document.querySelector(`[data-group="${setting.group}"]`).append(made);
    return (state) => show(state[name], state);
  });
  return (state) => shows.forEach((show) => show(state));
}

function menu(name, { label, values, say }, change) {
  const select = element("select", { id: name });
  select.append(...values.map((value) => element("option", { value, textContent: say(value) })));
  select.addEventListener("change", () => change(name, select.value, { final: true }));
  const made = element(
    "div",
    { className: "control" },
    element("label", { htmlFor: name, textContent: label }),
    select,
  );
  return [made, (value) => (select.value = value)];
}

function slider(name, { label, values, say }, change) {
  const range = element("input", { type: "range", id: name, min: 0, max: values.length - 1, step: 1 });
  const output = element("output", { htmlFor: name });
  const head = element("div", { className: "head" }, element("label", { htmlFor: name, textContent: label }), output);
  function say_it() {
    output.value = say(values[range.value]);
    range.setAttribute("aria-valuetext", output.value);
  }
  for (const [event, final] of [
    ["input", false],
    ["change", true],
  ]) {
    range.addEventListener(event, () => {
      say_it();
      change(name, values[range.value], { final });
    });
  }
  const show = (value, state) => {
    range.max = name === "layer" ? state.depth - 1 : values.length - 1;
    range.value = values.indexOf(value);
    say_it();
  };
  return [element("div", { className: "control" }, head, range), show];
}
