/**
 * Keyed random numbers: a stream is a function of (seed, name) alone. The weights of layer 3 are the same whatever the
 * depth, the data set or the order in which layers are made, so that two settings differ in what was set and nothing
 * else.
 */

/** 32 bits of a text: FNV-1a. */
function hash(text) {
  let state = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193);
  return state >>> 0;
}

/** Small fast counter generator of 128 bits of state (Doty-Humphrey, PractRand). */
export class Stream {
  constructor(seed, name) {
    let state = hash(`${seed}/${name}`);
    const word = () => {
      state = (state + 0x9e3779b9) | 0;
      let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return z ^ (z >>> 15);
    };
    [this.a, this.b, this.c, this.counter] = [word(), word(), word(), 1];
    this.kept = null;
    for (let i = 0; i < 12; i++) this.bits();
  }

  bits() {
    const drawn = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + drawn) | 0;
    return drawn >>> 0;
  }

  /** Uniform in [0, 1), 53 bits. */
  uniform() {
    return ((this.bits() >>> 5) * 67108864 + (this.bits() >>> 6)) / 9007199254740992;
  }

  /** Standard normal: Box & Muller, 1958. */
  normal() {
    if (this.kept !== null) {
      const kept = this.kept;
      this.kept = null;
      return kept;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.kept = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** 0 … n − 1 in random order: Fisher & Yates. */
  permutation(n) {
    const order = Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = Math.floor(this.uniform() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }
}
