/** Sentences about what was measured: what a figure says, for those who read it and for those who cannot see it. */

import { percent, show, whole } from "./numbers.js";

const last = (values) => values[values.length - 1];
const steady = (factor) => factor > 0.2 && factor < 5;

export function levels(layers) {
  const top = `layer ${layers.length}`;
  const signal = layers.map((layer) => layer.signal);
  const gradient = layers.map((layer) => layer.gradient).reverse();
  return `${course("Signal", signal, "layer 1", top)} ${course("Gradient", gradient, top, "layer 1")}`;
}

function course(name, values, from, to) {
  if (values.length === 1) return `${name} at layer 1: ${show(values[0])}.`;
  const ends = `from ${show(values[0])} at ${from} to ${show(last(values))} at ${to}`;
  const factor = last(values) / values[0];
  if (!Number.isFinite(factor)) return `${name} goes ${ends}.`;
  if (steady(factor)) return `${name} keeps its level, ${ends}.`;
  const [verb, times] = factor < 1 ? ["falls", 1 / factor] : ["grows", factor];
  return Number.isFinite(times)
    ? `${name} ${verb} ${ends}, by a factor of ${show(times)}.`
    : `${name} ${verb} ${ends}.`;
}

/** What is wrong with the run, in one sentence, and whether anything is. `floor`: the loss of a guess. */
export function verdict(report) {
  const text = harm(report);
  return { ok: text === null, text: text ?? "Signal and gradient reach every layer." };
}

function harm({ layers, finite, steps, train, floor }) {
  const [first, top, depth] = [layers[0], last(layers), layers.length];
  const dead = Math.max(...layers.map((layer) => layer.dead));
  const [forward, back] = [top.signal / first.signal, first.gradient / top.gradient];
  if (!finite) return `The loss is no longer a number at step ${whole(steps)}. Lower the learning rate, then Reset.`;
  if (layers.some(({ signal }) => !Number.isFinite(signal))) return "The signal overflows: it is no longer a number.";
  if (layers.some(({ gradient }) => gradient === 0)) return "A layer hears no gradient at all on this batch.";
  if (dead > 0.9) return `In one layer ${percent(dead)} of the units are dead: no sample switches them on.`;
  if (forward < 1e-2) return `The signal vanishes: ${show(forward)} of layer 1 is left at layer ${depth}.`;
  if (forward > 1e2) return `The signal explodes: layer ${depth} has ${show(forward)} times the level of layer 1.`;
  if (back < 1e-2) return `The gradient vanishes: ${show(back)} of it reaches layer 1.`;
  if (back > 1e2) return `The gradient explodes: layer 1 hears ${show(back)} times what layer ${depth} hears.`;
  if (steps > 300 && train.loss > 0.95 * floor) return "The loss is still that of guessing.";
  return null;
}

export function losses({ steps, train, test, losses: all }) {
  const both = `${show(train.loss)} on the training data, ${show(test.loss)} on the test.`;
  if (steps === 0) return `Before the first step: loss ${both}`;
  return `Step ${whole(steps)}: loss of the last batch ${show(last(all))}; in use ${both}`;
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
