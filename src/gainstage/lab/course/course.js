/* The page of a lesson: parts come as they are computed, controls ask for new measurements, answers are graded. */
"use strict";

const stored = document.getElementById("lab-states");
const STATES = stored ? JSON.parse(stored.textContent) : null; // a page without a server has its states with it
const address = () => new URLSearchParams(location.search);

/* Events, one a line, as they come. */
async function* events(url, signal) {
  const answer = await fetch(url, { signal });
  if (!answer.ok) throw new Error(await answer.text());
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

const problem = (text) => (document.getElementById("lab-problem").textContent = text);

/* ---- controls ---- */

const value = (input) => (input.type === "range" ? JSON.parse(input.dataset.values)[input.value] : [input.value, input.value]);

function said(input) {
  if (input.type !== "range") return;
  const [text] = value(input);
  input.setAttribute("aria-valuetext", text);
  input.closest(".lab-control").querySelector("output").textContent = text;
}

function fromAddress(form) {
  const given = address();
  let some = false;
  for (const input of form.elements) {
    if (!given.has(input.name)) continue;
    some = true;
    const wanted = given.get(input.name);
    if (input.type === "range") {
      const at = JSON.parse(input.dataset.values).findIndex(([, raw]) => Number(raw) === Number(wanted) && wanted.trim() !== "");
      if (at >= 0) input.value = at;
    } else if (input.tagName !== "SELECT" || [...input.options].some((option) => option.value === wanted)) input.value = wanted;
    said(input);
  }
  return some;
}

function toAddress(form, moved) {
  if (STATES) return;
  const query = address();
  query.set(moved.name, value(moved)[1]);
  history.replaceState(null, "", `?${query}`); // Back leaves the lesson
}

/* One measurement: always at the latest values, never two at a time. */
function measurement(form) {
  const name = form.dataset.measure;
  const box = form.parentElement.querySelector(".lab-shown");
  const state = form.parentElement.querySelector(".lab-status");
  let running = null;
  let again = false;

  async function run(query) {
    if (running) return void (again = true);
    running = new AbortController();
    state.textContent = "";
    const slow = setTimeout(() => busy(true), 250);
    try {
      const wanted = query ?? new URLSearchParams([...form.elements].filter((e) => e.name).map((e) => [e.name, value(e)[1]]));
      const seen = new Set();
      for await (const event of events(`measure/${name}?${wanted}`, running.signal)) {
        if (event.error) throw new Error(event.error);
        put(event.slot, event.html);
        seen.add(event.slot);
        if (again) break;
      }
      if (!again) [...box.children].filter((child) => !seen.has(child.dataset.slot)).forEach((child) => child.remove());
    } catch (error) {
      if (error.name !== "AbortError") state.textContent = error.message;
    } finally {
      clearTimeout(slow);
      running.abort(); // a measurement that is overtaken ends at its next figure
      running = null;
      busy(false);
      if (again) {
        again = false;
        run();
      }
    }
  }

  function put(slot, html) {
    const old = [...box.children].find((child) => child.dataset.slot === slot);
    const made = fragment(html);
    if (old) old.replaceWith(made);
    else box.append(made);
    figures(made);
  }

  function busy(is) {
    if (!is) return void (state.querySelector("button") && (state.textContent = ""));
    state.innerHTML = 'computing … <button type="button">Stop</button>';
    state.querySelector("button").addEventListener("click", () => {
      again = false;
      running?.abort();
    });
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ({ target }) => {
    said(target);
    toAddress(form, target);
    if (STATES) return stored_(target);
    run();
  });

  /* Without a server: the states with one control moved at a time. */
  function stored_(target) {
    for (const input of form.elements) {
      if (input === target || !input.name) continue;
      if (input.type === "range") input.value = input.defaultValue;
      else for (const option of input.options) option.selected = option.defaultSelected;
      said(input);
    }
    for (const { slot, html } of STATES[name][`${target.name}=${value(target)[1]}`] ?? STATES[name][""]) put(slot, html);
  }
  const given = address();
  if (!STATES && fromAddress(form)) run(new URLSearchParams([...form.elements].filter((e) => given.has(e.name)).map((e) => [e.name, given.get(e.name)])));
}

/* ---- exercises ---- */

function exercise(form, kind) {
  const index = form.dataset[kind];
  const box = form.parentElement.querySelector(".lab-verdict");
  if (STATES) return void offline(form, box, kind, index);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(form, event.submitter));
    for (const input of form.querySelectorAll("input[type=range]")) given[input.name] = value(input)[1];
    const button = form.querySelector("button");
    button.disabled = true;
    box.textContent = "computing …";
    const answer = await fetch(`${kind}/${index}`, { method: "POST", body: JSON.stringify(given) });
    if (answer.ok) box.innerHTML = await answer.text();
    else box.textContent = await answer.text();
    if (kind === "predict" && answer.ok) {
      for (const input of form.elements) input.disabled = true; // the first answer stays
      open(index);
    } else button.disabled = false;
  });
}

function offline(form, box, kind, index) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = new FormData(form);
    box.innerHTML = STATES.exercises[index]?.[kind === "predict" ? given.get("answer") : JSON.stringify(Object.fromEntries(given))] ??
      "<p>This is graded by the live lesson only: gainstage lab.</p>";
    if (kind === "predict") {
      for (const input of form.elements) input.disabled = true;
      open(index);
    }
  });
}

function open(index) {
  for (const part of document.querySelectorAll(`[data-gate="${index}"]`)) {
    part.removeAttribute("data-gate");
    part.querySelector(".lab-closed").remove();
    figures(part);
  }
}

/* ---- the page ---- */

function fragment(html) {
  const made = document.createElement("template");
  made.innerHTML = html;
  return made.content.firstElementChild;
}

function ready(part) {
  part.removeAttribute("aria-busy");
  for (const form of part.querySelectorAll("form[data-measure]")) measurement(form);
  for (const form of part.querySelectorAll("form[data-predict]")) exercise(form, "predict");
  for (const form of part.querySelectorAll("form[data-exercise]")) exercise(form, "exercise");
  for (const form of part.querySelectorAll("form[data-fix]")) {
    form.querySelectorAll("input").forEach((input) => input.addEventListener("input", () => said(input)));
    exercise(form, "fix");
  }
  reachable(part);
  figures(part);
}

/* What is too wide is scrolled by keys as well. */
function reachable(part) {
  for (const formula of part.querySelectorAll('math[display="block"]')) {
    if (formula.scrollWidth > formula.clientWidth) formula.tabIndex = 0;
    else formula.removeAttribute("tabindex");
  }
}
new ResizeObserver(() => reachable(document)).observe(document.body);

async function begin() {
  for (const button of document.querySelectorAll("[data-open]")) button.addEventListener("click", () => open(button.dataset.open));
  const slides = document.getElementById("lab-slides");
  slides.addEventListener("click", () => {
    const on = document.body.classList.toggle("lab-slides");
    slides.setAttribute("aria-pressed", on);
  });
  const copy = document.getElementById("lab-copy");
  copy?.addEventListener("click", async () => {
    await navigator.clipboard.writeText(location.href);
    copy.textContent = "Copied";
  });
  const waiting = [...document.querySelectorAll(".lab-part[aria-busy]")];
  for (const part of document.querySelectorAll(".lab-part:not([aria-busy])")) ready(part);
  if (waiting.length && !STATES) {
    try {
      for await (const event of events("parts")) {
        if (event.error) throw new Error(event.error);
        const part = document.querySelector(`.lab-part[aria-busy][data-part="${event.part}"]`);
        if (!part) continue;
        part.querySelector(".lab-body").innerHTML = event.html;
        ready(part);
      }
    } catch (error) {
      problem(error.message);
    }
  }
  document.body.dataset.live = "yes";
}

begin();
