/** What an engine is made from, and the limits of its steps that follow. */
import { type DType, InvalidRequestError, type ModelConfig, type Tokenizer } from "@thermocline/spec";
import type { StepLimits } from "./graph/step-limits.js";
import { kvGroupsOf } from "./kv-cache/kv-groups.js";
import type { RunnerOptions } from "./model-runner.js";
import type { PlacedModelOptions } from "./placed-model.js";

const defaultMaxLogprobs = 20;
const kvBlockSize = 32;
const defaultMaxLogitEdits = 1024;
const defaultContextLength = 4096;

export interface EngineOptions extends PlacedModelOptions {
  /** Tokens of one sequence; default: the model's, at most 4096. */
  readonly contextLength?: number;
  /** Sequences decoded together; more wait. Default 1. */
  readonly maxSequences?: number;
  /** Tokens in one step: the prefill chunk. Default 256. */
  readonly maxBatchTokens?: number;
  /** Tokens that the KV cache holds over all sequences, in layers that see all of the context; default: `contextLength` for each of
   *  `maxSequences`. */
  readonly kvCacheTokens?: number;
  /** Storage of keys and of values: one of the device's `kvDTypes`; default: its first. */
  readonly keyCacheDType?: DType;
  readonly valueCacheDType?: DType;
  /** Keep what was computed of earlier requests, while memory for it is left, for later ones that begin in the same way. Default true. */
  readonly prefixCache?: boolean;
  /**
   * Positions whose logits `score` gets from one step; they take memory for as many rows of the vocabulary. Absent: nothing can be scored.
   * Texts are scored one after the other: one whose logits nobody takes holds up the others, but no generation.
   */
  readonly maxScoredTokens?: number;
  /** Most likely tokens that a request may ask log-probabilities of. Default 20. */
  readonly maxLogprobs?: number;
  /**
   * Tokens of one sequence whose logits its penalties and biases may change in a step. Default 1024, at most the vocabulary. Biased,
   * forbidden and recent tokens must fit; of the tokens that DRY would punish those with the largest penalties take what is left.
   */
  readonly maxLogitEdits?: number;
  /** Default: from the source's vocabulary. */
  readonly tokenizer?: Tokenizer;
  readonly diagnostics?: EngineDiagnostics;
}

/** Switches for measuring and testing; none changes a result. */
export interface EngineDiagnostics extends RunnerOptions {
  /** Order in which KV blocks are handed out. */
  readonly blockOrder?: (numBlocks: number) => readonly number[];
  /** Fill the KV caches with NaN before the first step. */
  readonly poisonKvCaches?: boolean;
}

/** @throws InvalidRequestError for an option that is no positive whole number, or a context longer than the model was trained for. */
export function stepLimitsOf(options: EngineOptions, config: ModelConfig): StepLimits {
  const whole = (
    name: "contextLength" | "maxSequences" | "maxBatchTokens" | "kvCacheTokens" | "maxLogprobs" | "maxLogitEdits" | "maxScoredTokens",
    fallback: number,
  ) => {
    const value = options[name] ?? fallback;
    // Positions and slots travel as 32-bit integers.
    if (Number.isInteger(value) && value > 0 && value < 2 ** 31) return value;
    throw new InvalidRequestError(name, value, `is ${value}`, "give a positive whole number below 2^31");
  };
  const contextLength = whole("contextLength", Math.min(config.contextLength, defaultContextLength));
  if (contextLength > config.contextLength) {
    throw new InvalidRequestError(
      "contextLength",
      contextLength,
      `is ${contextLength}, the model was trained for ${config.contextLength}`,
      `ask for at most ${config.contextLength}`,
    );
  }
  const maxSequences = whole("maxSequences", 1);
  const maxBatchTokens = Math.max(whole("maxBatchTokens", 256), maxSequences);
  const maxBlocksPerSequence = Math.ceil(contextLength / kvBlockSize);
  const numBlocks = Math.max(
    maxBlocksPerSequence,
    Math.ceil(whole("kvCacheTokens", maxBlocksPerSequence * kvBlockSize * maxSequences) / kvBlockSize),
  );
  const maxLogitEdits = Math.min(whole("maxLogitEdits", defaultMaxLogitEdits), config.vocabSize);
  const logprobColumns = Math.min(whole("maxLogprobs", defaultMaxLogprobs), config.vocabSize) + 1;
  const maxScoredTokens = options.maxScoredTokens === undefined ? 0 : Math.min(whole("maxScoredTokens", 1), maxBatchTokens, contextLength);
  const { keyCacheDType, valueCacheDType } = options;
  return {
    maxBatchTokens,
    maxSequences,
    maxOutputRows: maxSequences,
    maxScoredTokens,
    contextLength,
    blockSize: kvBlockSize,
    kvGroups: kvGroupsOf(config, { blockSize: kvBlockSize, maxBatchTokens, maxSequences, maxBlocksPerSequence, numBlocks }),
    maxBlocksPerSequence,
    ...(keyCacheDType === undefined ? {} : { keyCacheDType }),
    ...(valueCacheDType === undefined ? {} : { valueCacheDType }),
    maxLogitEdits,
    logprobColumns,
  };
}
