/** What an engine is made from, and the limits of its steps that follow. */
import { type DemandSettings, InvalidRequestError, type ModelConfig, type ResolvedDemandSettings, type Tokenizer } from "@thermocline/spec";
import type { StepLimits } from "./graph/step-limits.js";
import { kvGroupsOf, type WindowsOfLayers } from "./kv-cache/kv-groups.js";
import type { RunnerOptions } from "./model-runner.js";
import type { PlacedModelOptions } from "./placed-model.js";

const defaultMaxLogprobs = 20;
/** Tokens. */
export const kvBlockSize = 32;
const defaultMaxLogitEdits = 1024;
const defaultContextLength = 4096;

/** What the limits of an engine's steps follow from. */
export interface EngineSettings extends DemandSettings {
  /** Tokens of one sequence; default: the model's, at most 4096. */
  readonly contextLength?: number;
  /** Sequences decoded together; more wait. Default 1. */
  readonly maxSequences?: number;
  /** Tokens in one step: the prefill chunk. Default 256. */
  readonly maxBatchTokens?: number;
  /** Default: `contextLength` for each of `maxSequences`. */
  readonly kvCacheTokens?: number;
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
}

export interface EngineOptions extends PlacedModelOptions, EngineSettings {
  /** Keep what was computed of earlier requests, while memory for it is left, for later ones that begin in the same way. Default true. */
  readonly prefixCache?: boolean;
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

/**
 * Settings with every default filled in; resolving them again changes nothing.
 * @throws InvalidRequestError for one that is no positive whole number, or a context longer than the model was trained for.
 */
export function resolveEngineSettings(settings: EngineSettings, config: Pick<ModelConfig, "contextLength">): ResolvedDemandSettings {
  const contextLength = wholeSetting(settings, "contextLength", Math.min(config.contextLength, defaultContextLength));
  if (contextLength > config.contextLength) {
    throw new InvalidRequestError(
      "contextLength",
      contextLength,
      `is ${contextLength}, the model was trained for ${config.contextLength}`,
      `ask for at most ${config.contextLength}`,
    );
  }
  const maxSequences = wholeSetting(settings, "maxSequences", 1);
  const maxBatchTokens = Math.max(wholeSetting(settings, "maxBatchTokens", 256), maxSequences);
  const blocksPerSequence = Math.ceil(contextLength / kvBlockSize);
  const kvCacheTokens = wholeSetting(settings, "kvCacheTokens", blocksPerSequence * kvBlockSize * maxSequences);
  const { maxScoredTokens, keyCacheDType, valueCacheDType } = settings;
  return {
    contextLength,
    maxBatchTokens,
    maxSequences,
    kvCacheTokens: Math.max(blocksPerSequence, Math.ceil(kvCacheTokens / kvBlockSize)) * kvBlockSize,
    ...(maxScoredTokens === undefined
      ? {}
      : { maxScoredTokens: Math.min(wholeSetting(settings, "maxScoredTokens", 1), maxBatchTokens, contextLength) }),
    ...(keyCacheDType === undefined ? {} : { keyCacheDType }),
    ...(valueCacheDType === undefined ? {} : { valueCacheDType }),
  };
}

/** @throws InvalidRequestError as `resolveEngineSettings` does. */
export function stepLimitsOf(
  settings: EngineSettings,
  config: Pick<ModelConfig, "contextLength" | "vocabSize"> & WindowsOfLayers,
): StepLimits {
  const { maxScoredTokens = 0, kvCacheTokens, ...resolved } = resolveEngineSettings(settings, config);
  const { contextLength, maxBatchTokens, maxSequences } = resolved;
  const maxBlocksPerSequence = Math.ceil(contextLength / kvBlockSize);
  const sizes = { blockSize: kvBlockSize, maxBatchTokens, maxSequences, maxBlocksPerSequence, numBlocks: kvCacheTokens / kvBlockSize };
  return {
    ...resolved,
    maxOutputRows: maxSequences,
    maxScoredTokens,
    blockSize: kvBlockSize,
    kvGroups: kvGroupsOf(config, sizes),
    maxBlocksPerSequence,
    maxLogitEdits: Math.min(wholeSetting(settings, "maxLogitEdits", defaultMaxLogitEdits), config.vocabSize),
    logprobColumns: Math.min(wholeSetting(settings, "maxLogprobs", defaultMaxLogprobs), config.vocabSize) + 1,
  };
}

type WholeSetting = Exclude<keyof EngineSettings, "keyCacheDType" | "valueCacheDType">;

function wholeSetting(settings: EngineSettings, name: WholeSetting, fallback: number): number {
  const value = settings[name] ?? fallback;
  // Positions and slots travel as 32-bit integers.
  if (Number.isInteger(value) && value > 0 && value < 2 ** 31) return value;
  throw new InvalidRequestError(name, value, `is ${value}`, "give a positive whole number below 2^31");
}
