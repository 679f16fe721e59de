/** Settings that show one thing each: what happens, where to look, what to try next. */

import { ALL, SETTINGS, START } from "./settings.js";

const story = (title, set, happens, look, next) => ({
  title,
  settings: { ...pick(START), ...set },
  happens,
  look,
  next,
});
const pick = (state) => Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, state[name]]));

export const STORIES = [
  story(
    "A healthy start",
    {},
    `Four ReLU layers from He's law. Signal and gradient reach every layer at about the same level, and the loss falls
     within a hundred steps.`,
    "Signal and gradient by layer: both lines are nearly flat.",
    "Press Play. Then choose “Small normal: 0.01” as the initialization and play again.",
  ),
  story(
    "Vanishing tanh",
    { depth: 8, activation: "tanh", law: "lecun_normal", scale: 0.2 },
    `Weights of a fifth of the right size. Every layer hands on about a fifth of its signal, so next to nothing is left
     at layer 8, and nothing of the gradient at layer 1.`,
    `The signal falls from left to right, the gradient from right to left. The loss stays at 0.693, that of a guess
     between two classes.`,
    "Drag “Weights times” up to 1.",
  ),
  story(
    "Xavier under ReLU",
    { depth: 30, width: 32, law: "xavier_normal" },
    `Xavier's law does not know that ReLU takes away half of the mean square. Each layer loses a factor of √2, and 29
     factors make about 23,000.`,
    "The signal falls as a straight line: a constant factor a layer.",
    "Choose He normal: a factor of √2 a layer puts it right.",
  ),
  story(
    "He at depth 30",
    { depth: 30, width: 32, rate: 0.03 },
    `He's law makes up for what ReLU takes away. The signal keeps its level through 30 layers, up to the scatter of a
     finite width, and the network learns.`,
    "The lines of signal and gradient: level, but not smooth.",
    "Change the seed, then the width: narrow layers scatter more.",
  ),
  story(
    "Dead ReLU",
    { depth: 6, rate: 1 },
    `The start is right and the learning rate is too large: the first steps push the units of a layer so far down that
     no sample switches them on again. No gradient passes them any more, for good.`,
    "After some 50 steps: “Inside layer 6” says that 100 % of its units are dead.",
    "Reset and choose a learning rate of 0.1, or Leaky ReLU.",
  ),
  story(
    "Sigmoid and depth",
    { depth: 8, activation: "sigmoid", law: "xavier_normal" },
    `The slope of a sigmoid is at most 1/4. Under Xavier's law the gradient shrinks by about that much with every layer
     on its way down.`,
    `The gradient's line rises steeply from layer 1 to layer 8, and so does the update: the first layers stand still.`,
    "Choose tanh as the activation.",
  ),
  story(
    "Residual without scaling",
    { depth: 30, width: 32, residual: "plain", rate: 0.01 },
    `Every branch adds as much as the stream carries, so the mean square doubles each time: 29 branches multiply the
     signal by √2 each, more than 20,000 in all.`,
    "The signal rises as a straight line, and the first loss is above 1,000.",
    "Choose x + f(x)/√(branches).",
  ),
  story(
    "Residual, scaled",
    { depth: 30, width: 32, residual: "scaled", rate: 0.03 },
    "The same 29 branches, each divided by √29. The mean square grows by (1 + 1/29)²⁹ in all, less than e.",
    "Signal and gradient stay within a factor of 3 over 30 layers.",
    "Play; then set the depth to 40.",
  ),
  story(
    "Batch norm to the rescue",
    { depth: 8, activation: "tanh", law: "lecun_normal", scale: 0.2, norm: "batch", rate: 0.03, batch: 64 },
    `The weights of “Vanishing tanh”, five times too small. Batch norm brings the signal back to 1 in front of every
     activation, so the level behind it does not depend on the scale of the weights.`,
    "Distribution by layer: the outputs keep one width over all layers, and the network learns.",
    `Set “Weights times” to 3: the outputs stay as they are. What changes is the update: a larger weight is turned less
     by the same rate.`,
  ),
  story(
    "Equal weights",
    { law: "constant", depth: 3 },
    `All weights of a layer are equal, so all of its units compute the same and hear the same gradient. They stay
     equal: 16 units do the work of one.`,
    `Inside layer 2, after some steps: all its weights are one number still, σ = 0. The map has one straight border and
     a third of the points is on the wrong side.`,
    "Choose He normal.",
  ),
  story(
    "Orthogonal at depth 40",
    { depth: 40, width: 32, activation: "tanh", law: "orthogonal", rate: 0.03 },
    "An orthogonal matrix keeps every length, so what a layer loses is what tanh takes away, and nothing by chance.",
    "The gradient's line is smooth.",
    "Choose LeCun normal: the same scale, and a scatter about 20 times as large from layer to layer.",
  ),
  story(
    "Dropout shifts",
    { depth: 4, width: 32, dropout: 0.5, norm: "batch" },
    `In training half of the units are silent and the others twice as loud. The mean of what a layer gets stays the same
     and its mean square does not: in use the signal is smaller. Whatever is not linear behind it, and the variance that
     batch norm has stored, was fitted to another signal (Li et al., CVPR 2019).`,
    `After 300 steps: the loss in use (“Training loss”) is about twice that of the batches. Inside layer 2: in use the
     signal is smaller.`,
    "Set dropout to 0: the loss in use falls below that of the batches.",
  ),
];

/** The address of a story, and the story whose settings a state has. */
export const told = (state) =>
  STORIES.find(({ settings }) => Object.keys(SETTINGS).every((name) => settings[name] === state[name]));
export const begins = ({ settings }) => ({
  ...Object.fromEntries(Object.keys(ALL).map((name) => [name, START[name]])),
  ...settings,
  step: 0,
});
