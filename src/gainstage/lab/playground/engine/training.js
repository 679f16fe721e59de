/** One training run, a pure function of its settings: the same settings give the same numbers at every step. */

import { load } from "./data.js";
import { crossEntropy } from "./loss.js";
import { deadShare, rms } from "./measure.js";
import { Network } from "./network.js";
import { Optimizer } from "./optimizers.js";
import { Stream } from "./random.js";

export class Training {
  constructor(settings) {
    this.settings = settings;
    this.data = load(settings.data, settings);
    this.network = new Network({ ...settings, ...this.data });
    this.network.start(settings.law, settings);
    this.optimizer = new Optimizer(settings.optimizer, this.network.parameters, settings);
    this.order = new Stream(settings.seed, "order");
    this.queue = [];
    this.losses = [];
  }

  get steps() {
    return this.losses.length;
  }

  get epochs() {
    return (this.steps * this.settings.batch) / this.data.train.labels.length;
  }

  /** Whether the loss is still a number. */
  get finite() {
    return this.steps === 0 || Number.isFinite(this.losses[this.steps - 1]);
  }

  /** Indices of the next batch: an epoch takes every sample once, in a new order; what is left over is not used. */
  next() {
    const { batch } = this.settings;
    if (this.queue.length < batch) this.queue = this.order.permutation(this.data.train.labels.length);
    return this.queue.splice(0, batch);
  }

  /** The loss of one batch; its gradients lie in the parameters. */
  measure(indices) {
    const { inputs, classes, train } = this.data;
    const x = new Float64Array(indices.length * inputs);
    indices.forEach((sample, s) => x.set(train.x.subarray(sample * inputs, (sample + 1) * inputs), s * inputs));
    const labels = Uint8Array.from(indices, (sample) => train.labels[sample]);
    const { loss, gradient } = crossEntropy(this.network.forward(x, { training: true }), labels, classes);
    this.network.backward(gradient);
    this.batch = x;
    return loss;
  }

  /** One step of the optimizer. What the layers saw is kept in `seen` until the next step. */
  step() {
    const { linears, activations } = this.network;
    const loss = this.measure(this.next());
    const before = linears.map(({ weight }) => weight.value.slice());
    this.optimizer.step();
    const { streams, outputs, gradients } = this.network;
    this.seen = { before, streams, outputs, gradients, inputs: activations.map(({ x }) => x) };
    this.losses.push(loss);
  }

  /**
   * By layer, on the batch of the last step: tensors, their levels, dead units, and the size of the update over that of
   * the weight; and the signal in use over that in training. Before the first step: what that step would show.
   */
  look() {
    if (this.steps === 0) {
      const trial = new Training(this.settings);
      trial.step();
      return trial.look();
    }
    const { before, streams, outputs, gradients, inputs } = this.seen;
    const { linears, activations } = this.network;
    this.logits(this.batch);
    const used = this.network.streams.map(rms);
    return streams.map((stream, l) => ({
      tensors: { streams: stream, outputs: outputs[l], gradients: gradients[l], weights: before[l] },
      signal: rms(stream),
      gradient: rms(gradients[l]),
      dead: deadShare(activations[l].rule.slope, inputs[l], linears[l].fanOut),
      used: used[l] / rms(stream),
      update: rms(linears[l].weight.value.map((w, i) => w - before[l][i])) / rms(before[l]),
    }));
  }

  /** Logits in evaluation: no dropout, running statistics. */
  logits(x) {
    return this.network.forward(x, { training: false });
  }

  /** Loss and accuracy on `"train"` or `"test"`, in evaluation. */
  evaluate(part) {
    const { x, labels } = this.data[part];
    return crossEntropy(this.logits(x), labels, this.data.classes);
  }
}
