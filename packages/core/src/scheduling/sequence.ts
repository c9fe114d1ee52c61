/** One prompt and what was generated from it. */
import type { SamplingParams } from "@thermocline/spec";

export interface SequenceOptions {
  readonly promptTokenIds: readonly number[];
  readonly sampling: SamplingParams;
  readonly maxTokens: number;
  /** Taken instead of the sampled ids, one a step. */
  readonly forcedTokenIds?: readonly number[];
  readonly withLogprobs: boolean;
}

export class Sequence {
  /** Prompt, then generated tokens. */
  readonly tokenIds: number[];
  readonly numPromptTokens: number;
  /** Tokens whose keys and values lie in the cache. */
  numComputedTokens = 0;
  /** Block of the cache for each `blockSize` tokens. */
  readonly blockTable: number[] = [];

  constructor(
    readonly id: number,
    readonly options: SequenceOptions,
  ) {
    this.tokenIds = [...options.promptTokenIds];
    this.numPromptTokens = this.tokenIds.length;
  }

  get numGeneratedTokens(): number {
    return this.tokenIds.length - this.numPromptTokens;
  }

  /** Tokens that must be computed before the next one can be sampled: 1 while decoding. */
  get numPendingTokens(): number {
    return this.tokenIds.length - this.numComputedTokens;
  }
}
