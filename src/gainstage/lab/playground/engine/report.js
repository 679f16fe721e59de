/** What the page draws of a run: plain numbers and arrays, which pass from the worker to the page. */

import { softmax } from "./loss.js";
import { histogram, ownHistogram, rms } from "./measure.js";

export const GRID = 32; // cells of the decision map, a side
export const REACH = 2.2; // of the map, in standard deviations of the data
export const SHOWN = 40; // test images

/** The whole report; `since`: the losses from this step on. */
export function report(training, since) {
  const { data } = training;
  return {
    ...byLayer(training),
    steps: training.steps,
    epochs: training.epochs,
    finite: training.finite,
    losses: training.losses.slice(since),
    train: summary(training.evaluate("train")),
    test: summary(training.evaluate("test")),
    points: data.inputs === 2 ? { x: data.train.x, labels: data.train.labels } : null,
    map: data.inputs === 2 ? decisionMap(training) : null,
    images: data.inputs === 2 ? null : images(training),
  };
}

/** The part that one batch tells, many times as fast: `{ layers, spread, settings }`. */
export function byLayer(training) {
  const layers = training.look();
  return {
    layers: layers.map(({ tensors, ...levels }) => ({ ...levels, own: mapped(tensors, ownHistogram) })),
    spread: mapped(layers[0].tensors, (_, name) => spread(layers.map((layer) => layer.tensors[name]))),
    settings: training.settings,
  };
}

const summary = ({ loss, accuracy }) => ({ loss, accuracy });
const mapped = (object, f) => Object.fromEntries(Object.entries(object).map(([name, value]) => [name, f(value, name)]));

/** One histogram a layer on a common range: all values, or three times the largest level where they reach further. */
function spread(tensors) {
  const reach = 3 * Math.max(...tensors.map(rms));
  let [low, high] = [Math.max(-reach, least(tensors)), Math.min(reach, -least(tensors, -1))];
  if (!(high > low && Number.isFinite(high - low))) [low, high] = [-1, 1];
  return { low, high, shares: tensors.map((x) => histogram(x, low, high).shares) };
}

/** The smallest entry of all, times `sign` before. */
function least(tensors, sign = 1) {
  return tensors.reduce((lowest, x) => x.reduce((low, entry) => Math.min(low, sign * entry), lowest), Infinity);
}

/** Probability of class 1 over the plane, row by row from the top left. */
function decisionMap(training) {
  const x = new Float64Array(GRID * GRID * 2);
  const at = (k) => ((k + 0.5) / GRID) * 2 * REACH - REACH;
  for (let k = 0; k < GRID * GRID; k++) x.set([at(k % GRID), -at(Math.floor(k / GRID))], 2 * k);
  return Float32Array.from(softmax(training.logits(x), 2).filter((_, i) => i % 2 === 1));
}

/** The first images of the test, what they show and what they are taken for. */
function images(training) {
  const { inputs, classes, test } = training.data;
  const pixels = test.x.subarray(0, SHOWN * inputs);
  const logits = training.logits(pixels);
  const guesses = Array.from({ length: SHOWN }, (_, s) => {
    const row = logits.subarray(s * classes, (s + 1) * classes);
    return row.indexOf(Math.max(...row));
  });
  return { pixels: pixels.slice(), labels: test.labels.slice(0, SHOWN), guesses };
}
