/** Token ids of words seen lately. Bounded: two generations, of which the older is dropped when the younger is full. */

/** Longer words are encoded anew each time. UTF-16 code units. */
export const maxCachedWordLength = 64;

export class WordCache {
  #young = new Map<string, readonly number[]>();
  #old = new Map<string, readonly number[]>();

  /** @param generationSize at most twice as many words are held; at 64 code units a word the default is about 8 MB at worst */
  constructor(readonly generationSize = 1 << 14) {}

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get(word: string): readonly number[] | undefined {
    const young = this.#young.get(word);
    if (young !== undefined) return young;
    const old = this.#old.get(word);
    if (old !== undefined) this.set(word, old);
    return old;
  }

  set(word: string, tokenIds: readonly number[]): void {
    if (word.length > maxCachedWordLength) return;
    if (this.#young.size >= this.generationSize) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(copyOf(word), tokenIds);
  }
}

/** A slice would keep the whole text that it was cut from alive. */
function copyOf(word: string): string {
  return String.fromCharCode(...Array.from({ length: word.length }, (_, index) => word.charCodeAt(index)));
}
