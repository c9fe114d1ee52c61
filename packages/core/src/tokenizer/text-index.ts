/**
 * Texts by content, looked up as stretches of one flat array of code units: no string is made to ask for a part of another. A vocabulary is
 * cut at every place of every token once, so strings would be garbage by the hundred thousand.
 *
 * The hash of code units c is Σ c[j] · base^j mod 2^32, which grows by one unit on either side in one step.
 */

const base = 0x01000193;

export class TextIndex {
  #units = new Uint16Array(1 << 16);
  #numUnits = 0;
  /** By entry: where its text begins and ends, and what it stands for. */
  readonly #starts: Int32Array;
  readonly #ends: Int32Array;
  readonly #values: Int32Array;
  #numEntries = 0;
  /** Open addressing: entry + 1, or 0. */
  readonly #slots: Int32Array;

  /** @param capacity largest number of texts that will be added */
  constructor(capacity: number) {
    this.#starts = new Int32Array(capacity);
    this.#ends = new Int32Array(capacity);
    this.#values = new Int32Array(capacity);
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(Math.max(16, capacity * 2))));
  }

  /** Keeps the first value of a text that is added twice. */
  add(text: string, value: number): void {
    const start = this.#numUnits;
    const end = start + text.length;
    this.#reserve(end);
    let hash = 0;
    for (let index = text.length - 1; index >= 0; index--) {
      this.#units[start + index] = text.charCodeAt(index);
      hash = (Math.imul(hash, base) + text.charCodeAt(index)) | 0;
    }
    const slot = this.#probe(start, end, hash);
    if (this.#slots[slot] !== 0) return;
    this.#numUnits = end;
    this.#starts[this.#numEntries] = start;
    this.#ends[this.#numEntries] = end;
    this.#values[this.#numEntries] = value;
    this.#slots[slot] = ++this.#numEntries;
  }

  /** Visits each text's cuts into two parts that are both known: the values of the left part, the right part and the whole. */
  forEachCut(visit: (left: number, right: number, whole: number) => void): void {
    let suffixHashes = new Int32Array(64);
    for (let entry = 0; entry < this.#numEntries; entry++) {
      const [start, end] = [this.#starts[entry]!, this.#ends[entry]!];
      if (end - start > suffixHashes.length) suffixHashes = new Int32Array(2 * (end - start));
      let hash = 0;
      for (let unit = end - 1; unit >= start; unit--) {
        hash = (Math.imul(hash, base) + this.#units[unit]!) | 0;
        suffixHashes[unit - start] = hash;
      }
      let prefixHash = 0;
      let power = 1;
      for (let cut = start + 1; cut < end; cut++) {
        prefixHash = (prefixHash + Math.imul(this.#units[cut - 1]!, power)) | 0;
        power = Math.imul(power, base);
        const left = this.#slots[this.#probe(start, cut, prefixHash)]!;
        if (left === 0) continue;
        const right = this.#slots[this.#probe(cut, end, suffixHashes[cut - start]!)]!;
        if (right !== 0) visit(this.#values[left - 1]!, this.#values[right - 1]!, this.#values[entry]!);
      }
    }
  }

  /** The slot of the text that lies at these units, or the free one where it would go. */
  #probe(start: number, end: number, hash: number): number {
    const mask = this.#slots.length - 1;
    // Neighbouring characters have neighbouring hashes, and would fill long runs of slots: the first step of MurmurHash3's finalizer parts them.
    const mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    let slot = (mixed ^ (mixed >>> 13)) & mask;
    for (let entry = this.#slots[slot]!; entry !== 0; entry = this.#slots[slot]!) {
      if (this.#equals(entry - 1, start, end)) return slot;
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #equals(entry: number, start: number, end: number): boolean {
    const first = this.#starts[entry]!;
    if (this.#ends[entry]! - first !== end - start) return false;
    for (let offset = 0; offset < end - start; offset++) if (this.#units[first + offset] !== this.#units[start + offset]) return false;
    return true;
  }

  #reserve(length: number): void {
    if (length <= this.#units.length) return;
    const grown = new Uint16Array(Math.max(length, 2 * this.#units.length));
    grown.set(this.#units.subarray(0, this.#numUnits));
    this.#units = grown;
  }
}
