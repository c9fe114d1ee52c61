/** The largest values that a step's bindings take: what memory is sized for. */
import { type BindingName, byteLengthOf, type Dim, type DType } from "@thermocline/spec";

export interface StepLimits {
  /** Tokens in one step, prefill chunks and decodes together. */
  readonly maxBatchTokens: number;
  readonly maxSequences: number;
  /** Tokens of one sequence. */
  readonly contextLength: number;
  /** Tokens per KV block. */
  readonly blockSize: number;
  readonly numBlocks: number;
  readonly maxBlocksPerSequence: number;
  /** Token ids of one sequence whose logits are changed before it is sampled. */
  readonly maxLogitEdits: number;
  /** Columns of the log-probability outputs: the sampled token and the most likely ones. */
  readonly logprobColumns: number;
}

export function largestDim(dim: Dim, limits: StepLimits): number {
  if (typeof dim === "number") return dim;
  const largest: Record<BindingName, number> = {
    step: 0x7fffffff,
    numTokens: limits.maxBatchTokens,
    numSequences: limits.maxSequences,
    numOutputRows: limits.maxSequences,
    maxContextLength: limits.contextLength,
  };
  return largest[dim];
}

/** Bytes of a plain tensor for the largest bindings. */
export function largestByteLength(dtype: DType, shape: readonly Dim[], limits: StepLimits): number {
  return byteLengthOf(
    dtype,
    shape.reduce<number>((product, dim) => product * largestDim(dim, limits), 1),
  );
}
