/**
 * Which tokens of which sequences run in the next step. Decodes go first; prefill chunks, of running and then of waiting sequences, fill
 * the rest of the step. A sequence gets blocks as it grows; where none is free, the one that came last gives up its blocks and is
 * computed again later.
 */
import assert from "node:assert";
import type { StepLimits } from "../graph/step-limits.js";
import type { BlockAllocator } from "../kv-cache/block-allocator.js";
import type { Sequence } from "./sequence.js";

export interface ScheduledSequence {
  readonly sequence: Sequence;
  /** The next tokens of the sequence that this step computes. */
  readonly numTokens: number;
  /** The step reaches the sequence's last token, so one more is sampled. */
  readonly sampled: boolean;
}

/** Never empty. */
export type Batch = readonly ScheduledSequence[];

export class Scheduler {
  /** In order of arrival. */
  readonly #running: Sequence[] = [];
  readonly #waiting: Sequence[] = [];

  constructor(
    private readonly limits: StepLimits,
    private readonly blocks: BlockAllocator,
  ) {}

  add(sequence: Sequence): void {
    assert(sequence.numPendingTokens > 0, "a sequence begins with at least one token");
    this.#waiting.push(sequence);
  }

  /** Takes a sequence out, wherever it is, and frees its blocks. */
  remove(sequence: Sequence): void {
    for (const queue of [this.#running, this.#waiting]) {
      const index = queue.indexOf(sequence);
      if (index >= 0) queue.splice(index, 1);
    }
    this.#release(sequence);
  }

  schedule(): Batch | undefined {
    const batch: ScheduledSequence[] = [];
    let budget = this.limits.maxBatchTokens;
    const take = (sequence: Sequence): boolean => {
      const numTokens = Math.min(sequence.numPendingTokens, budget);
      if (!this.#provideBlocks(sequence, sequence.numComputedTokens + numTokens, batch)) return false;
      batch.push({ sequence, numTokens, sampled: numTokens === sequence.numPendingTokens });
      budget -= numTokens;
      return true;
    };

    const decodesFirst = [...this.#running].sort((a, b) => Number(a.numPendingTokens > 1) - Number(b.numPendingTokens > 1));
    for (const sequence of decodesFirst) {
      if (budget === 0) break;
      // One that gave up its blocks to another of this step waits again.
      if (this.#running.includes(sequence)) take(sequence);
    }
    while (budget > 0 && this.#waiting.length > 0 && this.#running.length < this.limits.maxSequences) {
      const sequence = this.#waiting[0]!;
      if (!this.#hasBlocksFor(sequence)) break;
      this.#waiting.shift();
      this.#running.push(sequence);
      assert(take(sequence), "blocks were counted");
    }
    return batch.length === 0 ? undefined : batch;
  }

  /** Notes that a step's tokens lie in the cache, and appends the tokens that it gave, in the order of the batch's sampled sequences. */
  commit(batch: Batch, tokenIds: readonly number[]): void {
    let row = 0;
    for (const { sequence, numTokens, sampled } of batch) {
      sequence.numComputedTokens += numTokens;
      if (sampled) sequence.tokenIds.push(tokenIds[row++]!);
    }
  }

  #hasBlocksFor(sequence: Sequence): boolean {
    return Math.ceil(sequence.numPendingTokens / this.limits.blockSize) <= this.blocks.numFree;
  }

  /** False where the sequence itself had to give up its blocks. */
  #provideBlocks(sequence: Sequence, numTokens: number, batch: readonly ScheduledSequence[]): boolean {
    while (sequence.blockTable.length * this.limits.blockSize < numTokens) {
      const block = this.blocks.allocate();
      if (block !== undefined) {
        sequence.blockTable.push(block);
        continue;
      }
      const scheduled = new Set(batch.map((entry) => entry.sequence));
      const victim = this.#running.findLast((candidate) => !scheduled.has(candidate)) ?? sequence;
      this.#preempt(victim);
      if (victim === sequence) return false;
    }
    return true;
  }

  #preempt(sequence: Sequence): void {
    this.#running.splice(this.#running.indexOf(sequence), 1);
    this.#waiting.unshift(sequence);
    this.#release(sequence);
    sequence.numComputedTokens = 0;
  }

  #release(sequence: Sequence): void {
    for (const block of sequence.blockTable.splice(0)) this.blocks.free(block);
  }
}
