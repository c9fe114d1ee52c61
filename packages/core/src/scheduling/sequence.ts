/** One text on its way through the model: a prompt and what was generated from it, or a text that is scored. */
import { firstSurpriseLimit, type SamplingParams } from "@thermocline/spec";
import { SequenceBlocks } from "../kv-cache/kv-cache.js";
import type { LogitRule } from "../sampling/logit-rule.js";

export interface SequenceOptions {
  readonly promptTokenIds: readonly number[];
  readonly sampling: SamplingParams;
  /** What changes the logits before each sampling, in this order. Default: nothing. */
  readonly logitRules?: readonly LogitRule[];
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
  /** Tokens of the prompt that were in the cache when the sequence first ran; undefined before. */
  numCachedPromptTokens: number | undefined;
  /** Mirostat's, in bits: what the last completed step left. */
  surpriseLimit: number;
  readonly blocks = new SequenceBlocks();

  constructor(
    readonly id: number,
    readonly options: SequenceOptions,
  ) {
    this.tokenIds = [...options.promptTokenIds];
    this.numPromptTokens = this.tokenIds.length;
    this.surpriseLimit = firstSurpriseLimit(options.sampling.mirostatTau);
  }

  get numGeneratedTokens(): number {
    return this.tokenIds.length - this.numPromptTokens;
  }

  /** Tokens that must be computed before the next one can be sampled: 1 while decoding. */
  get numPendingTokens(): number {
    return this.tokenIds.length - this.numComputedTokens;
  }
}
