/**
 * Initialization laws, with the names and scales of `gainstage.init`. A weight is [fan out, fan in]; a bias starts at
 * 0, except under PyTorch's default.
 */

import { gain } from "./activations.js";
import { Stream } from "./random.js";

const normal = (label, std) => ({ label, kind: "normal", std });
const uniform = (label, std) => ({ label, kind: "uniform", std });

/**
 * name → kind and standard deviation (fan in n, fan out m, gain g of the activation that feeds the layer; 1 for the
 * first layer, which the data feed).
 */
export const LAWS = {
  he_normal: normal("He normal: √(2/n)", (n) => Math.sqrt(2 / n)),
  he_uniform: uniform("He uniform: √(2/n)", (n) => Math.sqrt(2 / n)),
  xavier_normal: normal("Xavier normal: √(2/(n+m))", (n, m) => Math.sqrt(2 / (n + m))),
  xavier_uniform: uniform("Xavier uniform: √(2/(n+m))", (n, m) => Math.sqrt(2 / (n + m))),
  lecun_normal: normal("LeCun normal: √(1/n)", (n) => Math.sqrt(1 / n)),
  exact_normal: normal("Exact gain: g/√n", (n, m, g) => g / Math.sqrt(n)),
  orthogonal: {
    label: "Orthogonal",
    kind: "orthogonal",
    std: (n, m) => 1 / Math.sqrt(Math.max(n, m)),
    factor: () => 1,
  },
  exact_orthogonal: {
    label: "Orthogonal times exact gain",
    kind: "orthogonal",
    std: (n, m, g) => g / Math.sqrt(Math.max(n, m)),
    factor: (g) => g,
  },
  torch_default: { ...uniform("PyTorch's default: √(1/3n)", (n) => Math.sqrt(1 / (3 * n))), bias: true },
  small_normal: normal("Small normal: 0.01", () => 0.01),
  large_normal: normal("Large normal: 1", () => 1),
  constant: { label: "All equal: 0.1", kind: "constant", std: () => 0, value: 0.1 },
  zeros: { label: "All zero", kind: "constant", std: () => 0, value: 0 },
};

/** Fill one linear layer in place: weight times `scale`; the draw depends on (seed, layer name) alone. */
export function fill(layer, law, { seed, name, activation = null, scale = 1 }) {
  const rule = LAWS[law];
  const stream = new Stream(seed, `${name}.weight`);
  const g = activation === null ? 1 : gain(activation);
  const std = rule.std(layer.fanIn, layer.fanOut, g);
  const draw = {
    normal: () => std * stream.normal(),
    uniform: () => std * Math.sqrt(3) * (2 * stream.uniform() - 1),
    constant: () => rule.value,
  }[rule.kind];
  const weight = layer.weight.value;
  if (rule.kind === "orthogonal")
    weight.set(orthogonal(layer.fanOut, layer.fanIn, stream).map((w) => w * rule.factor(g)));
  else for (let i = 0; i < weight.length; i++) weight[i] = draw();
  for (let i = 0; i < weight.length; i++) weight[i] *= scale;
  layer.bias.value.fill(0);
  if (!rule.bias) return;
  const biases = new Stream(seed, `${name}.bias`);
  const bound = 1 / Math.sqrt(layer.fanIn);
  for (let i = 0; i < layer.bias.value.length; i++) layer.bias.value[i] = bound * (2 * biases.uniform() - 1);
}

/**
 * A random matrix whose shorter side is orthonormal: Gram & Schmidt on normal vectors, twice for the rounding. Dividing
 * by a positive length fixes the signs, so the matrix is Haar distributed (Mezzadri, Notices of the AMS 2007).
 */
export function orthogonal(rows, columns, stream) {
  const short = Math.min(rows, columns);
  const long = Math.max(rows, columns);
  const basis = [];
  for (let k = 0; k < short; k++) {
    const v = Float64Array.from({ length: long }, () => stream.normal());
    for (let pass = 0; pass < 2; pass++) {
      for (const u of basis) {
        const along = u.reduce((sum, entry, i) => sum + entry * v[i], 0);
        for (let i = 0; i < long; i++) v[i] -= along * u[i];
      }
    }
    const length = Math.hypot(...v);
    basis.push(v.map((entry) => entry / length));
  }
  const matrix = new Float64Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) matrix[r * columns + c] = rows <= columns ? basis[r][c] : basis[c][r];
  }
  return matrix;
}
