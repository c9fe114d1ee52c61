/**
 * Which tokens of which sequences run in the next step. Decodes go first; prefill chunks, of running and then of waiting sequences, fill
 * the rest of the step. A sequence gets blocks as it grows; where none is free, the one that came last gives up its blocks and is
 * computed again later. Texts that are scored have steps of their own, and give up their blocks before any generation does.
 */
import { assert } from "@thermocline/spec";
import type { StepLimits } from "../graph/step-limits.js";
import type { KvCache } from "../kv-cache/kv-cache.js";
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

/** A step that scores: the logits after the last `numScored` of its tokens are wanted. */
export interface ScoringStep {
  readonly sequence: Sequence;
  readonly numTokens: number;
  readonly numScored: number;
}

export class Scheduler {
  /** In order of arrival. */
  readonly #running: Sequence[] = [];
  readonly #waiting: Sequence[] = [];
  /** The text that was scored last, with blocks as long as nobody else needs them. */
  #scored: Sequence | undefined;

  constructor(
    private readonly limits: StepLimits,
    private readonly kvCache: KvCache,
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
    if (this.#scored === sequence) this.#scored = undefined;
    this.kvCache.release(sequence);
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
      if (!this.#admit(sequence)) break;
      this.#waiting.shift();
      this.#running.push(sequence);
      assert(take(sequence), "blocks were counted");
    }
    return batch.length === 0 ? undefined : batch;
  }

  /** The next chunk of a text whose logits are wanted from `firstPosition` on. undefined where generations hold the blocks for it. */
  scheduleScoring(sequence: Sequence, firstPosition: number): ScoringStep | undefined {
    const { maxBatchTokens, maxScoredTokens } = this.limits;
    if (this.#scored !== sequence) {
      this.#giveUpScored();
      this.#scored = sequence;
      // Logits come of computing: what is to be scored is not taken from the cache.
      sequence.numComputedTokens = this.kvCache.attachPrefix(sequence, firstPosition);
    }
    const end = Math.min(
      sequence.tokenIds.length,
      sequence.numComputedTokens + maxBatchTokens,
      Math.max(firstPosition, sequence.numComputedTokens) + maxScoredTokens,
    );
    if (!this.kvCache.provide(sequence, end)) return undefined;
    const numTokens = end - sequence.numComputedTokens;
    return { sequence, numTokens, numScored: Math.max(0, Math.min(numTokens, end - firstPosition)) };
  }

  /** Notes that a step's tokens lie in the cache, and appends the tokens that it gave, in the order of the batch's sampled sequences. */
  commit(batch: Batch, tokenIds: readonly number[]): void {
    let row = 0;
    for (const { sequence, numTokens, sampled } of batch) {
      this.#commitTokens(sequence, numTokens);
      if (sampled) sequence.tokenIds.push(tokenIds[row++]!);
    }
  }

  commitScoring({ sequence, numTokens }: ScoringStep): void {
    this.#commitTokens(sequence, numTokens);
  }

  #commitTokens(sequence: Sequence, numTokens: number): void {
    sequence.numComputedTokens += numTokens;
    this.kvCache.commit(sequence);
  }

  /** Gives a waiting sequence what the cache has of it, if there is room for the rest. */
  #admit(sequence: Sequence): boolean {
    // The last token is always computed: its logits are wanted.
    const numCachedTokens = this.kvCache.attachPrefix(sequence, sequence.tokenIds.length - 1);
    const hasRoom = () => this.kvCache.hasRoomFor(sequence, sequence.tokenIds.length);
    if (!hasRoom() && !(this.#giveUpScored() && hasRoom())) {
      this.kvCache.release(sequence);
      return false;
    }
    sequence.numComputedTokens = numCachedTokens;
    sequence.numCachedPromptTokens ??= numCachedTokens;
    return true;
  }

  /** False where the sequence itself had to give up its blocks. */
  #provideBlocks(sequence: Sequence, numTokens: number, batch: readonly ScheduledSequence[]): boolean {
    while (!this.kvCache.provide(sequence, numTokens)) {
      if (this.#giveUpScored()) continue;
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
    this.kvCache.release(sequence);
    sequence.numComputedTokens = 0;
  }

  /** False where no scored text holds blocks. */
  #giveUpScored(): boolean {
    const sequence = this.#scored;
    if (sequence === undefined) return false;
    this.kvCache.release(sequence);
    sequence.numComputedTokens = 0;
    this.#scored = undefined;
    return true;
  }
}
