/**
 * Activations: φ(z) and φ'(z), with the names and constants of PyTorch, and the exact gain of each.
 */

const SELU = { scale: 1.0507009873554805, alpha: 1.6732632423543772 }; // Klambauer et al., NeurIPS 2017
const sigmoid = (z) => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));
const softplus = (z) => (z > 0 ? z : 0) + Math.log1p(Math.exp(-Math.abs(z)));
const density = (z) => Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);

/**
 * Standard normal distribution function Φ(z) = ½ + φ(z) (z + z³/3 + z⁵/15 + …): every term has the sign of z, so
 * nothing cancels (Marsaglia, J. Stat. Software 2004, eq. 1).
 */
export function normalCdf(z) {
  if (Math.abs(z) > 9) return z > 0 ? 1 : 0;
  let term = z;
  let sum = z;
  const square = z * z;
  for (let k = 3; Math.abs(term) > 1e-16 * Math.abs(sum); k += 2) {
    term *= square / k;
    sum += term;
  }
  return 0.5 + sum * density(z);
}

function mish(z) {
  return z * Math.tanh(softplus(z));
}

function mishSlope(z) {
  const t = Math.tanh(softplus(z));
  return t + z * sigmoid(z) * (1 - t * t);
}

/** name → what it is called, φ and φ'. */
export const ACTIVATIONS = {
  relu: { label: "ReLU", f: (z) => Math.max(z, 0), slope: (z) => (z > 0 ? 1 : 0) },
  leaky_relu: { label: "Leaky ReLU (0.01)", f: (z) => (z > 0 ? z : 0.01 * z), slope: (z) => (z > 0 ? 1 : 0.01) },
  elu: { label: "ELU", f: (z) => (z > 0 ? z : Math.expm1(z)), slope: (z) => (z > 0 ? 1 : Math.exp(z)) },
  selu: {
    label: "SELU",
    f: (z) => SELU.scale * (z > 0 ? z : SELU.alpha * Math.expm1(z)),
    slope: (z) => SELU.scale * (z > 0 ? 1 : SELU.alpha * Math.exp(z)),
  },
  gelu: { label: "GELU", f: (z) => z * normalCdf(z), slope: (z) => normalCdf(z) + z * density(z) },
  silu: {
    label: "SiLU (Swish)",
    f: (z) => z * sigmoid(z),
    slope: (z) => sigmoid(z) * (1 + z * (1 - sigmoid(z))),
  },
  mish: { label: "Mish", f: mish, slope: mishSlope },
  softplus: { label: "Softplus", f: softplus, slope: sigmoid },
  tanh: { label: "tanh", f: Math.tanh, slope: (z) => 1 - Math.tanh(z) ** 2 },
  sigmoid: { label: "Sigmoid", f: sigmoid, slope: (z) => sigmoid(z) * (1 - sigmoid(z)) },
  softsign: { label: "Softsign", f: (z) => z / (1 + Math.abs(z)), slope: (z) => 1 / (1 + Math.abs(z)) ** 2 },
  identity: { label: "None (linear)", f: (z) => z, slope: () => 1 },
};

const gains = {};

/** Exact gain 1 / √E[φ(z)²] of a standard normal z, by the trapezoidal rule: the same number as `gainstage.gain`. */
export function gain(name) {
  return (gains[name] ??= 1 / Math.sqrt(meanSquare(ACTIVATIONS[name].f)));
}

function meanSquare(f) {
  const step = 1 / 512;
  let sum = 0;
  for (let i = -12 * 512; i <= 12 * 512; i++) sum += f(i * step) ** 2 * density(i * step) * step;
  return sum;
}

/** The activation as a layer: y = φ(x), dx = φ'(x) dy. */
export class Activation {
  constructor(name) {
    this.rule = ACTIVATIONS[name];
  }

  forward(x) {
    this.x = x;
    const { f } = this.rule;
    const y = new Float64Array(x.length);
    for (let i = 0; i < x.length; i++) y[i] = f(x[i]);
    return y;
  }

  backward(dy) {
    const { x } = this;
    const { slope } = this.rule;
    const dx = new Float64Array(dy.length);
    for (let i = 0; i < dy.length; i++) dx[i] = dy[i] * slope(x[i]);
    return dx;
  }
}
