/**
 * The state of the page in its address, `#data=circles&depth=4&…&step=200`: a link shows another reader the same run at
 * the same step, and Back takes back the last change.
 */

import { ALL, START } from "./settings.js";

const LONGEST = 100_000; // steps that a link may ask for

/** `{ state, complaints }` of a hash; what is missing or unknown starts as usual, and the unknown is said. */
export function parse(hash) {
  const state = { ...START, step: 0 };
  const complaints = [];
  for (const [name, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
    const found = name === "step" ? step(text) : ALL[name]?.values.find((value) => String(value) === text);
    if (found !== undefined) state[name] = found;
    else if (ALL[name]) complaints.push(`${ALL[name].label} cannot be “${text}”; it is ${ALL[name].say(START[name])}.`);
    else complaints.push(name === "step" ? `Step cannot be “${text}”; it is 0.` : `There is no setting “${name}”.`);
  }
  state.layer = Math.min(state.layer, state.depth);
  return { state, complaints };
}

const step = (text) => (/^\d+$/.test(text) && Number(text) <= LONGEST ? Number(text) : undefined);

/** The hash of a state: every setting, and the step if a run stands at one. */
export function format(state) {
  const pairs = Object.keys(ALL).map((name) => [name, String(state[name])]);
  if (state.step > 0) pairs.push(["step", String(state.step)]);
  return `#${new URLSearchParams(pairs)}`;
}

/** Write the state into the address: as a new entry of the history for a change of the settings, else in place. */
export function write(state, { entry }) {
  const hash = format(state);
  if (hash === location.hash) return;
  if (entry) history.pushState(null, "", hash);
  else history.replaceState(null, "", hash);
}
