/**
 * Normalizations: batch, layer, group and RMS. All four are one formula over different sets of entries,
 *
 *     x̂ = (x − μ) / √(σ² + ε),   y = γ x̂ + β,   dx = (dx̂ − mean(dx̂) − x̂ mean(dx̂ x̂)) / √(σ² + ε)
 *
 * with mean and mean square over the set: a feature of the whole batch (Ioffe & Szegedy 2015), a sample (Ba et al.
 * 2016), a group of a sample's features (Wu & He 2018). RMS norm (Zhang & Sennrich 2019) takes μ = 0 and has no β.
 */

import { parameter } from "./layers.js";

const EPSILON = 1e-5;
const MOMENTUM = 0.1; // of batch norm's running statistics, as in PyTorch

export const NORMS = {
  none: { label: "None" },
  batch: { label: "Batch" },
  layer: { label: "Layer" },
  group: { label: "Group" },
  rms: { label: "RMS" },
};

/** As many groups as `width` allows, at most 4, of at least 2 features. */
export const groupsOf = (width) => Math.min(4, width / 2);

export class Norm {
  constructor(kind, name, width) {
    Object.assign(this, { kind, width, centred: kind !== "rms", groups: kind === "group" ? groupsOf(width) : 1 });
    this.gamma = parameter(`${name}.weight`, width, 1);
    this.beta = parameter(`${name}.bias`, width, 0);
    this.parameters = this.centred ? [this.gamma, this.beta] : [this.gamma];
    this.runningMean = new Float64Array(width);
    this.runningVar = new Float64Array(width).fill(1);
  }

  /** What is normalized together: `[first entry, number of entries, distance between two]`. */
  sets(samples) {
    if (this.kind === "batch") return Array.from({ length: this.width }, (_, f) => [f, samples, this.width]);
    const size = this.width / this.groups;
    return Array.from({ length: samples * this.groups }, (_, k) => [k * size, size, 1]);
  }

  forward(x, training) {
    const { width, kind, gamma, beta, runningMean, runningVar } = this;
    this.fixed = kind === "batch" && !training;
    this.sizes = this.sets(x.length / width);
    this.inverse = new Float64Array(this.sizes.length);
    this.scaled = new Float64Array(x.length);
    const [y, scaled] = [new Float64Array(x.length), this.scaled];
    this.sizes.forEach(([first, count, stride], k) => {
      const end = first + count * stride;
      let [mean, variance] = [runningMean[k], runningVar[k]];
      if (!this.fixed) [mean, variance] = this.moments(x, first, count, stride);
      if (kind === "batch" && training) this.remember(k, mean, (variance * count) / (count - 1));
      const inverse = (this.inverse[k] = 1 / Math.sqrt(variance + EPSILON));
      for (let i = first; i < end; i += stride) scaled[i] = (x[i] - mean) * inverse;
    });
    for (let first = 0; first < x.length; first += width) {
      for (let f = 0; f < width; f++) y[first + f] = gamma.value[f] * scaled[first + f] + beta.value[f];
    }
    return y;
  }

  moments(x, first, count, stride) {
    const end = first + count * stride;
    let [mean, variance] = [0, 0];
    if (this.centred) for (let i = first; i < end; i += stride) mean += x[i] / count;
    for (let i = first; i < end; i += stride) variance += ((x[i] - mean) * (x[i] - mean)) / count;
    return [mean, variance];
  }

  /** The running variance takes the unbiased one, n − 1 in the denominator. */
  remember(feature, mean, variance) {
    this.runningMean[feature] += MOMENTUM * (mean - this.runningMean[feature]);
    this.runningVar[feature] += MOMENTUM * (variance - this.runningVar[feature]);
  }

  backward(dy) {
    const { width, gamma, beta, scaled, inverse } = this;
    const dx = new Float64Array(dy.length);
    gamma.grad.fill(0);
    beta.grad.fill(0);
    for (let first = 0; first < dy.length; first += width) {
      for (let f = 0; f < width; f++) {
        gamma.grad[f] += dy[first + f] * scaled[first + f];
        beta.grad[f] += dy[first + f];
        dx[first + f] = dy[first + f] * gamma.value[f];
      }
    }
    this.sizes.forEach(([first, count, stride], k) => {
      const end = first + count * stride;
      let [mean, along] = [0, 0];
      for (let i = first; i < end && !this.fixed; i += stride) {
        if (this.centred) mean += dx[i] / count;
        along += (dx[i] * scaled[i]) / count;
      }
      for (let i = first; i < end; i += stride) dx[i] = (dx[i] - mean - scaled[i] * along) * inverse[k];
    });
    return dx;
  }
}
