/** What an embedder is made from, and the limits of its steps that follow. */
import { type DemandSettings, InvalidRequestError, type ModelConfig } from "@thermocline/spec";
import type { StepLimits } from "./graph/step-limits.js";
import type { PlacedModelOptions } from "./placed-model.js";
import type { TextTokenizer } from "./tokenizer/index.js";

const blockSize = 32;

export interface EmbedderOptions extends PlacedModelOptions {
  /** Tokens of one text, the vocabulary's special ones included; default: the model's. */
  readonly contextLength?: number;
  /** Texts in one step. Default 32. */
  readonly maxSequences?: number;
  /** Tokens in one step. A text is computed whole, so at least `contextLength`; default: the larger of that and 512. */
  readonly maxBatchTokens?: number;
  /** Default: from the source's vocabulary. */
  readonly tokenizer?: TextTokenizer;
  /** Switches for testing; none changes a result. */
  readonly diagnostics?: { readonly poisonDeadActivations?: boolean };
}

/** @throws InvalidRequestError for an option that is no positive whole number, or a step that does not hold the longest text. */
export function embeddingLimitsOf(
  options: Pick<DemandSettings, "contextLength" | "maxSequences" | "maxBatchTokens">,
  config: Pick<ModelConfig, "contextLength" | "layers">,
): StepLimits {
  const whole = (name: "contextLength" | "maxSequences" | "maxBatchTokens", fallback: number) => {
    const value = options[name] ?? fallback;
    if (Number.isInteger(value) && value > 0 && value < 2 ** 31) return value;
    throw new InvalidRequestError(name, value, `is ${value}`, "give a positive whole number below 2^31");
  };
  const contextLength = whole("contextLength", config.contextLength);
  if (contextLength > config.contextLength) {
    const problem = `is ${contextLength}, the model was trained for ${config.contextLength}`;
    throw new InvalidRequestError("contextLength", contextLength, problem, `ask for at most ${config.contextLength}`);
  }
  const maxBatchTokens = whole("maxBatchTokens", Math.max(contextLength, 512));
  if (maxBatchTokens < contextLength) {
    const problem = `is ${maxBatchTokens}, a text of ${contextLength} tokens is computed in one step`;
    throw new InvalidRequestError("maxBatchTokens", maxBatchTokens, problem, `give at least ${contextLength}, or lower contextLength`);
  }
  const maxSequences = Math.min(whole("maxSequences", 32), maxBatchTokens);
  return {
    maxBatchTokens,
    maxSequences,
    maxOutputRows: maxSequences,
    maxScoredTokens: 0,
    contextLength,
    blockSize,
    // Every text but for its last block fills whole ones.
    kvGroups: [{ layers: config.layers.map((_, layer) => layer), numBlocks: Math.ceil(maxBatchTokens / blockSize) + maxSequences }],
    maxBlocksPerSequence: Math.ceil(contextLength / blockSize),
    maxLogitEdits: 1,
    logprobColumns: 1,
  };
}
