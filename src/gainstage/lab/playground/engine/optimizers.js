/**
 * Optimizers, each with the update and the defaults of `torch.optim`. One step: θ ← θ − (what the rule makes of the
 * gradient g). Weight decay λ adds λθ to the gradient, except in AdamW, which shrinks θ by the factor 1 − ηλ.
 */

const MOMENTUM = 0.9;
const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8];

function sgd({ value, grad }, _, { rate, decay }) {
  for (let i = 0; i < value.length; i++) value[i] -= rate * (grad[i] + decay * value[i]);
}

/** v ← 0.9 v + g, θ ← θ − η v (Polyak 1964, in PyTorch's form). */
function momentum({ value, grad }, state, { rate, decay }) {
  const velocity = (state.velocity ??= new Float64Array(value.length));
  for (let i = 0; i < value.length; i++) {
    velocity[i] = MOMENTUM * velocity[i] + grad[i] + decay * value[i];
    value[i] -= rate * velocity[i];
  }
}

/**
 * θ ← θ − η m̂ / (√v̂ + ε) with running means m of g and v of g², both corrected for their start (Kingma & Ba 2015).
 */
function adam({ value, grad }, state, { rate, decay }) {
  state.steps = (state.steps ?? 0) + 1;
  const first = (state.first ??= new Float64Array(value.length));
  const second = (state.second ??= new Float64Array(value.length));
  const [short, long] = [1 - BETA1 ** state.steps, 1 - BETA2 ** state.steps];
  for (let i = 0; i < value.length; i++) {
    const g = grad[i] + decay * value[i];
    first[i] = BETA1 * first[i] + (1 - BETA1) * g;
    second[i] = BETA2 * second[i] + (1 - BETA2) * g * g;
    value[i] -= (rate * first[i]) / short / (Math.sqrt(second[i] / long) + EPSILON);
  }
}

/** Adam whose decay does not pass through the running means (Loshchilov & Hutter 2019). */
function adamw(parameter, state, { rate, decay }) {
  for (let i = 0; i < parameter.value.length; i++) parameter.value[i] *= 1 - rate * decay;
  adam(parameter, state, { rate, decay: 0 });
}

export const OPTIMIZERS = {
  sgd: { label: "SGD", update: sgd },
  momentum: { label: "SGD, momentum 0.9", update: momentum },
  adam: { label: "Adam", update: adam },
  adamw: { label: "AdamW", update: adamw },
};

/** One optimizer over a list of parameters; `state` is kept by parameter. */
export class Optimizer {
  constructor(name, parameters, { rate, decay = 0 }) {
    Object.assign(this, { update: OPTIMIZERS[name].update, parameters, options: { rate, decay } });
    this.states = parameters.map(() => ({}));
  }

  step() {
    this.parameters.forEach((parameter, k) => this.update(parameter, this.states[k], this.options));
  }
}
