/**
 * The network, one formula for plain and residual ones:
 *
 *     h₁ = W₁ x + b₁,   hₗ₊₁ = [hₗ +] s (Wₗ₊₁ aₗ + bₗ₊₁),   aₗ = drop(φ(norm(hₗ))),   logits = W a_L + b
 *
 * Without the skip [hₗ +] it is the usual chain of L hidden layers, s = 1; with it the residual network of He et al.
 * 2016 ("pre-activation"), whose stream grows by what every branch adds: s = 1, or s = 1/√(branches).
 */

import { Activation } from "./activations.js";
import { fill } from "./laws.js";
import { Dropout, Linear } from "./layers.js";
import { Norm } from "./norms.js";
import { Stream } from "./random.js";

export const RESIDUALS = {
  none: { label: "None" },
  plain: { label: "x + f(x)" },
  scaled: { label: "x + f(x)/√(branches)" },
};

export class Network {
  constructor({ inputs, classes, depth, width, activation, norm = "none", residual = "none", dropout = 0, seed = 0 }) {
    Object.assign(this, { depth, activation, classes });
    this.skip = residual !== "none";
    this.branchScale = residual === "scaled" ? 1 / Math.sqrt(Math.max(1, depth - 1)) : 1;
    const layers = Array.from({ length: depth }, (_, l) => l + 1);
    this.linears = layers.map((l) => new Linear(`layer${l}`, l === 1 ? inputs : width, width));
    this.linears.push(new Linear("head", width, classes));
    this.norms = norm === "none" ? null : layers.map((l) => new Norm(norm, `norm${l}`, width));
    this.activations = layers.map(() => new Activation(activation));
    this.drops = layers.map((l) => new Dropout(dropout, new Stream(seed, `dropout${l}`)));
    this.parameters = [...this.linears, ...(this.norms ?? [])].flatMap((layer) => layer.parameters);
  }

  /** Fill every weight by a law; the gain of the activation counts for all layers but the first. */
  start(law, { seed, scale = 1 }) {
    this.linears.forEach((layer, k) =>
      fill(layer, law, { seed, scale, name: layer.name, activation: k ? this.activation : null }),
    );
  }

  /** Logits of a batch. Keeps hₗ as `streams` and aₗ as `outputs`. `masks[l]`: dropout's, instead of drawn ones. */
  forward(x, { training, masks = [] }) {
    this.streams = [];
    this.outputs = [];
    let made = this.linears[0].forward(x);
    for (let l = 0; l < this.depth; l++) {
      const stream = made;
      if (l > 0 && this.skip) {
        const below = this.streams[l - 1];
        for (let i = 0; i < stream.length; i++) stream[i] = below[i] + this.branchScale * stream[i];
      }
      const normed = this.norms === null ? stream : this.norms[l].forward(stream, training);
      const output = this.drops[l].forward(this.activations[l].forward(normed), training, masks[l]);
      this.streams.push(stream);
      this.outputs.push(output);
      made = this.linears[l + 1].forward(output);
    }
    return made;
  }

  /** Fill every `grad` from the gradient of the logits. Keeps dhₗ as `gradients`. */
  backward(dlogits) {
    this.gradients = new Array(this.depth);
    let branch = dlogits;
    for (let l = this.depth - 1; l >= 0; l--) {
      const dnormed = this.activations[l].backward(this.drops[l].backward(this.linears[l + 1].backward(branch)));
      const gradient = this.norms === null ? dnormed : this.norms[l].backward(dnormed);
      const above = this.gradients[l + 1];
      if (above && this.skip) for (let i = 0; i < gradient.length; i++) gradient[i] += above[i];
      this.gradients[l] = gradient;
      branch = times(gradient, this.branchScale);
    }
    this.linears[0].backward(this.gradients[0]);
  }
}

function times(x, factor) {
  if (factor === 1) return x;
  const y = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) y[i] = factor * x[i];
  return y;
}
