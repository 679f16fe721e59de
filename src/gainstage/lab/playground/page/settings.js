/**
 * Everything that can be set: what it is called, which values it takes, and what it does. The form, the address and the
 * worker all read this table.
 */

import { ACTIVATIONS } from "../engine/activations.js";
import { DATA } from "../engine/data.js";
import { LAWS } from "../engine/laws.js";
import { RESIDUALS } from "../engine/network.js";
import { NORMS } from "../engine/norms.js";
import { OPTIMIZERS } from "../engine/optimizers.js";
import { percent, show, whole } from "./numbers.js";

const choice = (group, label, table, start) => ({
  group,
  label,
  start,
  values: Object.keys(table),
  say: (name) => table[name].label,
});
const slider = (group, label, values, start, say = show) => ({ group, label, values, start, say, slides: true });
const whole_numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, k) => from + k);
const RATES = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];
const SCALES = [0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.5, 1.7, 2, 3];

export const SETTINGS = {
  data: choice("Data", "Data set", DATA, "circles"),
  noise: slider("Data", "Noise of the points", [0, 0.05, 0.1, 0.15, 0.2, 0.3], 0.05),
  depth: slider("Network", "Depth, hidden layers", whole_numbers(1, 40), 4, whole),
  width: slider("Network", "Width, units a layer", [2, 4, 8, 16, 32, 64], 16, whole),
  activation: choice("Network", "Activation", ACTIVATIONS, "relu"),
  law: choice("Network", "Initialization", LAWS, "he_normal"),
  scale: slider("Network", "Weights times", SCALES, 1),
  norm: choice("Network", "Normalization", NORMS, "none"),
  residual: choice("Network", "Residual", RESIDUALS, "none"),
  dropout: slider("Network", "Dropout", [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], 0, percent),
  optimizer: choice("Training", "Optimizer", OPTIMIZERS, "sgd"),
  rate: slider("Training", "Learning rate", RATES, 0.1),
  decay: slider("Training", "Weight decay", [0, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1], 0),
  batch: slider("Training", "Batch size", [8, 16, 32, 64, 128], 32, whole),
  seed: slider("Training", "Seed", whole_numbers(0, 20), 0, whole),
};

export const VIEWS = {
  outputs: { label: "Outputs of the activation" },
  streams: { label: "Signal before the activation" },
  gradients: { label: "Gradient of the signal" },
  weights: { label: "Weights" },
};

/** What the page shows of a run; it changes no number of it. */
export const LOOKS = {
  view: choice("Spread", "Distribution of", VIEWS, "outputs"),
  layer: slider("Layer", "Layer", whole_numbers(1, 40), 1, whole),
  pace: slider("Training", "Speed", [1, 3, 10, 30, 1000], 3, (n) =>
    n === 1000 ? "as fast as it goes" : `${whole(n)} steps a frame`,
  ),
};

export const ALL = { ...SETTINGS, ...LOOKS };
export const START = Object.fromEntries(Object.entries(ALL).map(([name, { start }]) => [name, start]));
