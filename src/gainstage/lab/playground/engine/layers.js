/**
 * Linear layers and dropout. A batch is a flat array of `samples × features`, row by row; a parameter is
 * `{ name, value, grad }`.
 */

export const parameter = (name, size, start = 0) => ({
  name,
  value: new Float64Array(size).fill(start),
  grad: new Float64Array(size),
});

/** y = x Wᵀ + b, with W of [fan out, fan in]; backward: dx = dy W, dW = dyᵀ x, db = Σ dy. */
export class Linear {
  constructor(name, fanIn, fanOut) {
    Object.assign(this, { name, fanIn, fanOut });
    this.weight = parameter(`${name}.weight`, fanIn * fanOut);
    this.bias = parameter(`${name}.bias`, fanOut);
    this.parameters = [this.weight, this.bias];
  }

  forward(x) {
    const { fanIn, fanOut } = this;
    const samples = x.length / fanIn;
    const [w, b, y] = [this.weight.value, this.bias.value, new Float64Array(samples * fanOut)];
    this.x = x;
    for (let s = 0; s < samples; s++) {
      for (let o = 0; o < fanOut; o++) {
        let sum = b[o];
        for (let i = 0, wi = o * fanIn, xi = s * fanIn; i < fanIn; i++) sum += w[wi + i] * x[xi + i];
        y[s * fanOut + o] = sum;
      }
    }
    return y;
  }

  backward(dy) {
    const { fanIn, fanOut, x } = this;
    const samples = dy.length / fanOut;
    const [w, dw, db, dx] = [this.weight.value, this.weight.grad, this.bias.grad, new Float64Array(samples * fanIn)];
    dw.fill(0);
    db.fill(0);
    for (let s = 0; s < samples; s++) {
      const xi = s * fanIn;
      for (let o = 0; o < fanOut; o++) {
        const d = dy[s * fanOut + o];
        const wi = o * fanIn;
        db[o] += d;
        for (let i = 0; i < fanIn; i++) {
          dw[wi + i] += d * x[xi + i];
          dx[xi + i] += d * w[wi + i];
        }
      }
    }
    return dx;
  }
}

/**
 * Dropout: in training an entry is 0 with probability p and else divided by 1 − p, so that its expectation stays; in
 * evaluation nothing happens (Srivastava et al., JMLR 2014; the division by 1 − p is PyTorch's form).
 */
export class Dropout {
  constructor(p, stream) {
    Object.assign(this, { p, stream });
    this.mask = null;
  }

  /** `mask`, zeros and ones, is drawn where it is not given. */
  forward(x, training, mask = null) {
    this.mask = training && this.p > 0 ? (mask ?? this.draw(x.length)) : null;
    return this.apply(x);
  }

  backward(dy) {
    return this.apply(dy);
  }

  draw(size) {
    const mask = new Float64Array(size);
    for (let i = 0; i < size; i++) mask[i] = this.stream.uniform() < this.p ? 0 : 1;
    return mask;
  }

  apply(x) {
    const { mask, p } = this;
    if (mask === null) return x;
    const y = new Float64Array(x.length);
    for (let i = 0; i < x.length; i++) y[i] = (x[i] * mask[i]) / (1 - p);
    return y;
  }
}
