/**
 * The blocks of one group of layers: which are free, which are held and by how many sequences, and which keep a prefix for later requests
 * although nobody holds them. Everything is O(1) a block.
 */
import { assert } from "@thermocline/spec";

export class BlockPool {
  /** Blocks that hold nothing of use. */
  readonly #free: number[];
  /** Holders of each block. */
  readonly #holders: Int32Array;
  /** What a full block holds, named by the tokens up to its end. */
  readonly #keyOfBlock: (string | undefined)[];
  readonly #blockOfKey = new Map<string, number>();
  /** Keyed blocks that nobody holds, the least recently used first. */
  readonly #cached = new Set<number>();

  /** `order`: the blocks in the order in which they are handed out first; default ascending. */
  constructor(
    readonly numBlocks: number,
    order: readonly number[] = Array.from({ length: numBlocks }, (_, block) => block),
  ) {
    assert(order.length === numBlocks, `an order of ${order.length} blocks for ${numBlocks}`);
    this.#free = [...order].reverse();
    this.#holders = new Int32Array(numBlocks);
    this.#keyOfBlock = new Array<string | undefined>(numBlocks).fill(undefined);
  }

  /** Blocks that `allocate` can give, those that keep a prefix included. */
  get numAvailable(): number {
    return this.#free.length + this.#cached.size;
  }

  get numCached(): number {
    return this.#cached.size;
  }

  get numInUse(): number {
    return this.numBlocks - this.numAvailable;
  }

  /** A block for one holder to write; where none is free, the one whose prefix was not used for longest. undefined where all are held. */
  allocate(): number | undefined {
    const block = this.#free.pop() ?? this.#evict();
    if (block !== undefined) this.#holders[block] = 1;
    return block;
  }

  has(key: string): boolean {
    return this.#blockOfKey.has(key);
  }

  /** One more holder of the block that holds `key`, which must be there. It is shared and may no longer be written. */
  share(key: string): number {
    const block = this.#blockOfKey.get(key);
    assert(block !== undefined, "no block holds this prefix");
    this.#cached.delete(block);
    this.#holders[block]!++;
    return block;
  }

  /** Names what a block holds, so that `share` finds it, also after its last holder has gone. Where another block holds the same, that one
   *  stays the one to be found. */
  keep(block: number, key: string): void {
    assert(this.#holders[block]! > 0, `block ${block} is not in use`);
    if (this.#blockOfKey.has(key)) return;
    assert(this.#keyOfBlock[block] === undefined, `block ${block} holds another prefix`);
    this.#keyOfBlock[block] = key;
    this.#blockOfKey.set(key, block);
  }

  release(block: number): void {
    assert(this.#holders[block]! > 0, `block ${block} is not in use`);
    if (--this.#holders[block]! > 0) return;
    if (this.#keyOfBlock[block] === undefined) this.#free.push(block);
    else this.#cached.add(block);
  }

  #evict(): number | undefined {
    const block = this.#cached.values().next().value;
    if (block === undefined) return undefined;
    this.#cached.delete(block);
    this.#blockOfKey.delete(this.#keyOfBlock[block]!);
    this.#keyOfBlock[block] = undefined;
    return block;
  }
}
