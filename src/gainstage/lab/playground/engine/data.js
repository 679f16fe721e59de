/**
 * Data sets of two classes in the plane, and small handwritten digits. All inputs are standardized, so that their mean
 * square is 1, which is what initialization laws assume of them.
 */

import { DIGITS } from "./digits.js";
import { Stream } from "./random.js";

const POINTS = 256; // for training, and as many for the test

/** name → label and one point of class c: `[x, y]` of a stream, before noise. */
const SHAPES = {
  circles: (c, draw) =>
    polar(c === 0 ? 0.45 * Math.sqrt(draw.uniform()) : 0.8 + 0.2 * draw.uniform(), 2 * Math.PI * draw.uniform()),
  xor: (c, draw) => {
    const [x, y] = [0.1 + 0.9 * draw.uniform(), 0.1 + 0.9 * draw.uniform()];
    const side = draw.uniform() < 0.5 ? 1 : -1;
    return [side * x, (c === 0 ? side : -side) * y];
  },
  spirals: (c, draw) => {
    const along = Math.sqrt(draw.uniform());
    return polar(0.05 + 0.95 * along, 3.5 * Math.PI * along + c * Math.PI);
  },
  gaussians: (c, draw) => [
    (c === 0 ? -0.5 : 0.5) + 0.22 * draw.normal(),
    (c === 0 ? -0.5 : 0.5) + 0.22 * draw.normal(),
  ],
};
const polar = (radius, angle) => [radius * Math.cos(angle), radius * Math.sin(angle)];

export const DATA = {
  circles: { label: "Circles", inputs: 2, classes: 2 },
  xor: { label: "XOR", inputs: 2, classes: 2 },
  spirals: { label: "Two spirals", inputs: 2, classes: 2 },
  gaussians: { label: "Two Gaussians", inputs: 2, classes: 2 },
  digits: { label: "Digits, 8 × 8 pixels", inputs: 64, classes: 10 },
};

/**
 * `{ inputs, classes, train: { x, labels }, test: { x, labels } }`; `noise` is a standard deviation of the plane's
 * points.
 */
export function load(name, { seed, noise = 0 }) {
  const { inputs, classes } = DATA[name];
  const all = name === "digits" ? digits() : points(name, seed, noise);
  standardize(all.x, all.training * inputs, name === "digits" ? 1 : inputs);
  const part = (from, to) => ({ x: all.x.subarray(from * inputs, to * inputs), labels: all.labels.subarray(from, to) });
  return { inputs, classes, train: part(0, all.training), test: part(all.training, all.labels.length) };
}

function points(name, seed, noise) {
  const draw = new Stream(seed, `data.${name}`);
  const [x, labels] = [new Float64Array(4 * POINTS), new Uint8Array(2 * POINTS)];
  for (let s = 0; s < labels.length; s++) {
    labels[s] = s % 2;
    const [right, up] = SHAPES[name](labels[s], draw);
    x[2 * s] = right + noise * draw.normal();
    x[2 * s + 1] = up + noise * draw.normal();
  }
  return { x, labels, training: POINTS };
}

/** The images of the page: a letter a pixel, "A" for 0 and "Q" for 16, four fifths of them for training. */
function digits() {
  const x = Float64Array.from(DIGITS.pixels, (letter) => letter.charCodeAt(0) - 65);
  const labels = Uint8Array.from(DIGITS.labels, Number);
  return { x, labels, training: Math.floor(0.8 * labels.length) };
}

/**
 * Mean 0 and mean square 1 over the first `count` entries, in place; `columns` of them apart, or all together with 1.
 */
function standardize(x, count, columns) {
  for (let c = 0; c < columns; c++) {
    let [sum, squares] = [0, 0];
    for (let i = c; i < count; i += columns) {
      sum += x[i];
      squares += x[i] * x[i];
    }
    const mean = sum / (count / columns);
    const spread = Math.sqrt(squares / (count / columns) - mean * mean);
    for (let i = c; i < x.length; i += columns) x[i] = (x[i] - mean) / spread;
  }
}
