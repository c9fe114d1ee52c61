/** Reproducible random data: a case's numbers follow from its seed alone. */

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Uniform in [0, 1): a Weyl sequence through a multiply-xorshift hash. */
  uniform(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let hash = Math.imul(this.#state ^ (this.#state >>> 16), 0x21f0aaad);
    hash = Math.imul(hash ^ (hash >>> 15), 0x735a2d97);
    return ((hash ^ (hash >>> 15)) >>> 0) / 2 ** 32;
  }

  /** Whole, from `low` to `high`, both included. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.uniform() * (high - low + 1));
  }

  /** Standard normal, by Box and Muller. */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  normals(count: number, scale = 1): Float32Array {
    const values = new Float32Array(count);
    for (let index = 0; index < count; index += 2) {
      const radius = scale * Math.sqrt(-2 * Math.log(1 - this.uniform()));
      const angle = 2 * Math.PI * this.uniform();
      values[index] = radius * Math.cos(angle);
      if (index + 1 < count) values[index + 1] = radius * Math.sin(angle);
    }
    return values;
  }

  integers(count: number, low: number, high: number): Int32Array {
    return Int32Array.from({ length: count }, () => this.integer(low, high));
  }

  /** 0 … count - 1 in random order. */
  permutation(count: number): number[] {
    const order = Array.from({ length: count }, (_, index) => index);
    for (let index = count - 1; index > 0; index--) {
      const other = this.integer(0, index);
      [order[index], order[other]] = [order[other]!, order[index]!];
    }
    return order;
  }
}
