/** Sentences about what was measured: what a figure says, for those who read it and for those who cannot see it. */

import { percent, show } from "./numbers.js";

const last = (values) => values[values.length - 1];
const steady = (factor) => factor > 0.2 && factor < 5;

export function levels(layers) {
  const signal = layers.map((layer) => layer.signal);
  const gradient = layers.map((layer) => layer.gradient);
  return `${course("Signal", signal, "layer 1", `layer ${layers.length}`)} ${course("Gradient", [...gradient].reverse(), `layer ${layers.length}`, "layer 1")}`;
}

function course(name, values, from, to) {
  if (values.length === 1) return `${name} at layer 1: ${show(values[0])}.`;
  const ends = `from ${show(values[0])} at ${from} to ${show(last(values))} at ${to}`;
  const factor = last(values) / values[0];
  if (!Number.isFinite(factor)) return `${name} goes ${ends}.`;
  if (steady(factor)) return `${name} keeps its level, ${ends}.`;
  return `${name} ${factor < 1 ? "falls" : "grows"} ${ends}, by a factor of ${show(Math.abs(factor) < 1 ? 1 / factor : factor)}.`;
}

/** What is wrong with the run, in one sentence, and whether anything is. */
export function verdict({ layers, finite, steps, train, settings, floor }) {
  if (!finite) return { ok: false, text: `The loss is no longer a number at step ${steps}: the signal or the weights overflowed. Lower the learning rate or the weights, then Reset.` };
  const [first, end] = [layers[0], last(layers)];
  if (layers.some(({ signal }) => !Number.isFinite(signal))) return { ok: false, text: "The signal overflows: in one layer it is no longer a number." };
  const dead = Math.max(...layers.map((layer) => layer.dead));
  const [forward, back] = [end.signal / first.signal, first.gradient / end.gradient];
  if (layers.some(({ gradient }) => gradient === 0)) return { ok: false, text: "A layer hears no gradient at all on this batch." };
  if (dead > 0.9) return { ok: false, text: `In one layer ${percent(dead)} of the units are dead: no sample switches them on.` };
  if (forward < 1e-2) return { ok: false, text: `The signal vanishes: ${show(forward)} of layer 1 is left at layer ${layers.length}.` };
  if (forward > 1e2) return { ok: false, text: `The signal explodes: layer ${layers.length} has ${show(forward)} times the level of layer 1.` };
  if (back < 1e-2) return { ok: false, text: `The gradient vanishes: ${show(back)} of it reaches layer 1.` };
  if (back > 1e2) return { ok: false, text: `The gradient explodes: layer 1 hears ${show(back)} times what layer ${layers.length} hears.` };
  if (steps > 300 && train.loss > 0.95 * floor) return { ok: false, text: `After ${steps} steps the loss is that of guessing, although signal and gradient reach every layer.` };
  return { ok: true, text: "Signal and gradient reach every layer." };
}

export function losses({ steps, train, test, losses: all }) {
  if (steps === 0) return `Before the first step: loss ${show(train.loss)} on the training data, ${show(test.loss)} on the test.`;
  return `Step ${steps}: loss of the last batch ${show(last(all))}; in use ${show(train.loss)} on the training data and ${show(test.loss)} on the test.`;
}

export function map({ test, train, images }) {
  const right = `${percent(train.accuracy)} of the training data and ${percent(test.accuracy)} of the test are right.`;
  if (!images) return `Colour: what the network says of every point. Circles are class 0, squares class 1. ${right}`;
  const wrong = images.labels.filter((label, s) => label !== images.guesses[s]).length;
  return `${wrong} of the ${images.labels.length} test images shown are taken for another digit (framed). ${right}`;
}

export function updates(layers, steps) {
  const values = layers.map(({ update }) => update);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const when = steps === 0 ? "The first step would move" : "The last step moved";
  if (!Number.isFinite(high)) return "A weight is 0, so the ratio has no value there.";
  return `${when} a layer's weights by ${low === high ? show(low) : `${show(low)} to ${show(high)}`} of their size.`;
}

export function spread(layers, view, name) {
  const std = layers.map(({ own }) => own[view].std);
  return `${name}: standard deviation ${show(std[0])} at layer 1, ${show(last(std))} at layer ${layers.length}.`;
}

export const moments = ({ mean, std }) => `μ\u00a0=\u00a0${show(mean)}, σ\u00a0=\u00a0${show(std)}`;
