/** Names of full KV blocks: what lies in one is decided by its tokens and all before them. */
import { createHash } from "node:crypto";

export class BlockKeys {
  readonly #keys: string[] = [];

  constructor(private readonly blockSize: number) {}

  /**
   * The key of block `index` of a sequence with these tokens, which must fill it. A chain: SHA-256 of the key before and of the block's
   * tokens, so that two prefixes with one key are not to be expected. Each key is computed once; tokens may be appended, not changed.
   */
  keyOf(tokenIds: readonly number[], index: number): string {
    while (this.#keys.length <= index) {
      const first = this.#keys.length * this.blockSize;
      const hash = createHash("sha256").update(this.#keys.at(-1) ?? "");
      this.#keys.push(hash.update(Int32Array.from(tokenIds.slice(first, first + this.blockSize))).digest("base64"));
    }
    return this.#keys[index]!;
  }
}
