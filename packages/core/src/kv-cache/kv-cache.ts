/**
 * The blocks of every sequence in every group of layers. A sequence gets blocks as it grows, and gives those of a sliding window back as
 * the window passes. Full blocks stay findable by their tokens until their memory is needed, so that a sequence which begins in the same
 * way starts with them; blocks that are shared are never written.
 *
 * Kernels are batch-invariant: what a block holds follows from its tokens and those before them alone, and a prefix that is found again is
 * bit-equal to one that is computed again.
 */
import type { KvGroup, StepLimits } from "../graph/step-limits.js";
import { BlockKeys } from "./block-keys.js";
import { BlockPool } from "./block-pool.js";
import { maxBlocksOfWindow } from "./kv-groups.js";

export interface KvCacheOptions {
  /** Keep full blocks for later sequences. Default true. */
  readonly prefixCache?: boolean;
  /** Order in which blocks are handed out first. */
  readonly blockOrder?: (numBlocks: number) => readonly number[];
}

/** A sequence's part of the cache. */
export interface CachedSequence {
  readonly tokenIds: readonly number[];
  /** Tokens whose keys and values lie in the cache. */
  readonly numComputedTokens: number;
  readonly blocks: SequenceBlocks;
}

export class SequenceBlocks {
  /** For each group, in the limits' order: the block of each `blockSize` tokens; -1 where no later token sees it. */
  readonly tables: number[][] = [];
  /** For each group: entries of the table before this one are -1. */
  readonly firstHeld: number[] = [];
  /** Leading full blocks whose keys have been told to the pools. */
  numKept = 0;
  keys: BlockKeys | undefined;
}

export class KvCache {
  readonly pools: readonly BlockPool[];
  readonly #groups: readonly KvGroup[];
  readonly #prefixCache: boolean;

  constructor(
    private readonly limits: StepLimits,
    { prefixCache = true, blockOrder }: KvCacheOptions = {},
  ) {
    this.#groups = limits.kvGroups;
    this.pools = limits.kvGroups.map(({ numBlocks }) => new BlockPool(numBlocks, blockOrder?.(numBlocks)));
    this.#prefixCache = prefixCache;
  }

  /**
   * Gives a sequence without blocks the longest prefix of its first `maxTokens` tokens that is there in every group, and returns its
   * length: whole blocks. Of a group with a window only the blocks are needed that the next token sees.
   */
  attachPrefix(sequence: CachedSequence, maxTokens: number): number {
    const { blocks, tokenIds } = sequence;
    const { blockSize } = this.limits;
    this.#groups.forEach((_, group) => {
      blocks.tables[group] = [];
      blocks.firstHeld[group] = 0;
    });
    if (!this.#prefixCache) return 0;
    const numBlocks = this.#longestPrefix(sequence, Math.floor(maxTokens / blockSize));
    this.pools.forEach((pool, group) => {
      const first = this.#firstVisible(group, numBlocks * blockSize);
      const table = blocks.tables[group]!;
      for (let index = 0; index < numBlocks; index++) table.push(index < first ? -1 : pool.share(this.#keyOf(blocks, tokenIds, index)));
      blocks.firstHeld[group] = first;
    });
    blocks.numKept = numBlocks;
    return numBlocks * blockSize;
  }

  /** Whether the pools could now give all blocks that the sequence will hold at once until it has `numTokens` tokens. */
  hasRoomFor({ blocks }: CachedSequence, numTokens: number): boolean {
    const needed = Math.ceil(numTokens / this.limits.blockSize);
    return this.#groups.every(({ slidingWindow }, group) => {
      const { length } = blocks.tables[group]!;
      const held = length - blocks.firstHeld[group]!;
      const most = slidingWindow === undefined ? needed : maxBlocksOfWindow(slidingWindow, this.limits);
      return Math.min(needed - length, most - held) <= this.pools[group]!.numAvailable;
    });
  }

  /** Extends the sequence's tables to `numTokens` tokens. False where blocks ran out; those that it got it keeps. */
  provide({ blocks }: CachedSequence, numTokens: number): boolean {
    return this.pools.every((pool, group) => {
      const table = blocks.tables[group]!;
      while (table.length * this.limits.blockSize < numTokens) {
        const block = pool.allocate();
        if (block === undefined) return false;
        table.push(block);
      }
      return true;
    });
  }

  /** After tokens were computed: full blocks become findable, and those that no later token sees are given back. */
  commit(sequence: CachedSequence): void {
    const { blocks, tokenIds, numComputedTokens } = sequence;
    const numFull = Math.floor(numComputedTokens / this.limits.blockSize);
    for (; this.#prefixCache && blocks.numKept < numFull; blocks.numKept++) {
      const key = this.#keyOf(blocks, tokenIds, blocks.numKept);
      this.pools.forEach((pool, group) => {
        pool.keep(blocks.tables[group]![blocks.numKept]!, key);
      });
    }
    this.pools.forEach((pool, group) => {
      const first = this.#firstVisible(group, numComputedTokens);
      const table = blocks.tables[group]!;
      for (let index = blocks.firstHeld[group]!; index < first; index++) {
        pool.release(table[index]!);
        table[index] = -1;
      }
      blocks.firstHeld[group] = first;
    });
  }

  /** Gives all blocks back. The ends of prefixes go first when memory is needed: without what is before them they are of no use. */
  release({ blocks }: CachedSequence): void {
    this.pools.forEach((pool, group) => {
      const table = blocks.tables[group] ?? [];
      for (let index = table.length - 1; index >= blocks.firstHeld[group]!; index--) pool.release(table[index]!);
    });
    blocks.tables.length = 0;
    blocks.firstHeld.length = 0;
    blocks.numKept = 0;
  }

  /** The first block that the token at `position` sees. */
  #firstVisible(group: number, position: number): number {
    const { slidingWindow } = this.#groups[group]!;
    return slidingWindow === undefined ? 0 : Math.floor(Math.max(0, position - slidingWindow + 1) / this.limits.blockSize);
  }

  #longestPrefix({ blocks, tokenIds }: CachedSequence, maxBlocks: number): number {
    const keyOf = (index: number) => this.#keyOf(blocks, tokenIds, index);
    // For each group: the first block of the unbroken run of present ones that ends where the scan is.
    const runStarts = this.#groups.map(() => 0);
    let longest = 0;
    for (let index = 0; index < maxBlocks; index++) {
      for (const [group, pool] of this.pools.entries()) if (!pool.has(keyOf(index))) runStarts[group] = index + 1;
      const numTokens = (index + 1) * this.limits.blockSize;
      if (runStarts.every((start, group) => start <= this.#firstVisible(group, numTokens))) longest = index + 1;
      if (this.#groups.some(({ slidingWindow }, group) => slidingWindow === undefined && runStarts[group]! > 0)) break;
    }
    return longest;
  }

  #keyOf(blocks: SequenceBlocks, tokenIds: readonly number[], index: number): string {
    blocks.keys ??= new BlockKeys(this.limits.blockSize);
    return blocks.keys.keyOf(tokenIds, index);
  }
}
