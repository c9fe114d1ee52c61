/**
 * Merges neighbouring symbols, lowest rank first and leftmost among equals, until no pair of the table is left: what SPM and BPE
 * share. A linked list and a binary heap make it O(n log n) for a word of n symbols.
 */
import { maxRank, type PairTable } from "./pair-table.js";

// A heap key is rank * positions + position: exact below 2^53, and ordered by rank, then position.
const positions = 2 ** 30;
const keptCapacity = 1 << 14;

class MinHeap {
  #keys = new Float64Array(256);
  #length = 0;

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  push(key: number): void {
    if (this.#length === this.#keys.length) {
      const grown = new Float64Array(this.#length * 2);
      grown.set(this.#keys);
      this.#keys = grown;
    }
    const keys = this.#keys;
    let index = this.#length++;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (keys[parent]! <= key) break;
      keys[index] = keys[parent]!;
      index = parent;
    }
    keys[index] = key;
  }

  pop(): number {
    const keys = this.#keys;
    const smallest = keys[0]!;
    const moved = keys[--this.#length]!;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= this.#length) break;
      if (child + 1 < this.#length && keys[child + 1]! < keys[child]!) child++;
      if (keys[child]! >= moved) break;
      keys[index] = keys[child]!;
      index = child;
    }
    keys[index] = moved;
    return smallest;
  }

  /** Gives back what one long word took. Call it when empty. */
  shrink(): void {
    if (this.#keys.length > keptCapacity) this.#keys = new Float64Array(256);
  }
}

export class PairMerger {
  readonly #table: PairTable;
  readonly #heap = new MinHeap();
  #next = new Int32Array(256);
  #previous = new Int32Array(256);
  /** Slot of the pair that begins at a position; -1 where none does, or the position was merged away. */
  #slots = new Int32Array(256);

  constructor(table: PairTable) {
    this.#table = table;
  }

  /** Merges `symbols[0 .. count)` in place and returns how many are left, at the front. */
  merge(symbols: Int32Array, count: number): number {
    if (count < 2) return count;
    this.#reserve(count);
    const heap = this.#heap;
    const { ranks, merged } = this.#table;
    const next = this.#next;
    const previous = this.#previous;
    const slots = this.#slots;
    for (let position = 0; position < count; position++) {
      previous[position] = position - 1;
      next[position] = position + 1 < count ? position + 1 : -1;
      slots[position] = -1;
    }
    for (let position = 0; position + 1 < count; position++) this.#refresh(symbols, position);
    while (!heap.isEmpty) {
      const key = heap.pop();
      const left = key % positions;
      const slot = slots[left]!;
      // A key whose pair is gone is skipped. One that meets a new pair of equal rank stands for it: their keys are the same number.
      if (slot === -1 || ranks[slot] !== (key - left) / positions) continue;
      const right = next[left]!;
      const after = next[right]!;
      symbols[left] = merged[slot]!;
      slots[right] = -1;
      next[left] = after;
      if (after !== -1) previous[after] = left;
      this.#refresh(symbols, left);
      if (previous[left] !== -1) this.#refresh(symbols, previous[left]!);
    }
    let remaining = 0;
    for (let position = 0; position !== -1; position = next[position]!) symbols[remaining++] = symbols[position]!;
    this.#release();
    return remaining;
  }

  #refresh(symbols: Int32Array, left: number): void {
    const right = this.#next[left]!;
    const slot = right === -1 ? -1 : this.#table.find(symbols[left]!, symbols[right]!);
    this.#slots[left] = slot;
    if (slot !== -1) this.#heap.push(this.#table.ranks[slot]! * positions + left);
  }

  #reserve(count: number): void {
    if (this.#next.length >= count) return;
    const length = Math.max(count, this.#next.length * 2);
    this.#next = new Int32Array(length);
    this.#previous = new Int32Array(length);
    this.#slots = new Int32Array(length);
  }

  #release(): void {
    this.#heap.shrink();
    if (this.#next.length <= keptCapacity) return;
    this.#next = new Int32Array(256);
    this.#previous = new Int32Array(256);
    this.#slots = new Int32Array(256);
  }
}

/** Position among the distinct values in descending order; equal scores get equal ranks, NaN the last one. */
export function ranksOfScores(scores: ArrayLike<number>): Int32Array {
  const clean = Float32Array.from(scores, (score) => (Number.isNaN(score) ? -Infinity : score));
  // Highest first, each value once: a score's rank is its place.
  const sorted = clean.slice().sort().reverse();
  let numDistinct = 0;
  for (const score of sorted) if (numDistinct === 0 || score !== sorted[numDistinct - 1]) sorted[numDistinct++] = score;
  return Int32Array.from(clean, (score) => Math.min(placeOf(sorted, numDistinct, score), maxRank - 1));
}

/** Where `score` stands among the first `length` values of a descending array that holds it. */
function placeOf(descending: Float32Array, length: number, score: number): number {
  let low = 0;
  let high = length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (descending[middle]! > score) low = middle + 1;
    else high = middle;
  }
  return low;
}
