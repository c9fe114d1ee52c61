/** Which two neighbouring symbols merge, into what, and how early: (left, right) -> (merged, rank). Open addressing over typed arrays. */

/** Ranks are below this, so that a rank and a position fit one exact double (see `PairMerger`). */
export const maxRank = 2 ** 23;

export class PairTable {
  readonly #mask: number;
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  /** By slot. Lower ranks merge first. */
  readonly ranks: Int32Array;
  /** By slot: the symbol that the pair becomes. */
  readonly merged: Int32Array;

  /** @param capacity largest number of pairs that will be added */
  constructor(capacity: number) {
    const length = 2 ** Math.ceil(Math.log2(Math.max(16, capacity * 2)));
    this.#mask = length - 1;
    this.#left = new Int32Array(length).fill(-1);
    this.#right = new Int32Array(length);
    this.ranks = new Int32Array(length);
    this.merged = new Int32Array(length);
  }

  /** Keeps the first entry of a pair that is added twice. */
  add(left: number, right: number, merged: number, rank: number): void {
    const slot = this.#probe(left, right);
    if (this.#left[slot] !== -1) return;
    this.#left[slot] = left;
    this.#right[slot] = right;
    this.merged[slot] = merged;
    this.ranks[slot] = rank;
  }

  /** Slot of the pair, or -1. Negative symbols are in no pair. */
  find(left: number, right: number): number {
    if (left < 0 || right < 0) return -1;
    const slot = this.#probe(left, right);
    return this.#left[slot] === -1 ? -1 : slot;
  }

  #probe(left: number, right: number): number {
    // Multipliers of MurmurHash3's 32-bit mix.
    let hash = Math.imul(left, 0xcc9e2d51) ^ Math.imul(right, 0x1b873593);
    hash ^= hash >>> 15;
    let slot = hash & this.#mask;
    while (this.#left[slot] !== -1 && (this.#left[slot] !== left || this.#right[slot] !== right)) slot = (slot + 1) & this.#mask;
    return slot;
  }
}
