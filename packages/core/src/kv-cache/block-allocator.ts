/** Which blocks of the KV cache are free. Blocks are handed out and given back one at a time, in O(1). */
import assert from "node:assert";

export class BlockAllocator {
  readonly #free: number[];
  readonly #isFree: Uint8Array;

  /** `order`: the blocks in the order in which they are handed out first; default ascending. */
  constructor(
    readonly numBlocks: number,
    order: readonly number[] = Array.from({ length: numBlocks }, (_, block) => block),
  ) {
    assert.equal(order.length, numBlocks);
    this.#free = [...order].reverse();
    this.#isFree = new Uint8Array(numBlocks).fill(1);
  }

  get numFree(): number {
    return this.#free.length;
  }

  /** undefined where none is free. */
  allocate(): number | undefined {
    const block = this.#free.pop();
    if (block !== undefined) this.#isFree[block] = 0;
    return block;
  }

  free(block: number): void {
    assert.equal(this.#isFree[block], 0, `block ${block} is not in use`);
    this.#isFree[block] = 1;
    this.#free.push(block);
  }
}
