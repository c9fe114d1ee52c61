/** The largest values that a step's bindings take, and what else memory is sized by. */
import { type BindingName, byteLengthOf, type Dim, type DType } from "@thermocline/spec";

/** Layers whose KV caches share one pool of blocks: all with the same sliding window, or all without one. */
export interface KvGroup {
  readonly slidingWindow?: number;
  readonly layers: readonly number[];
  readonly numBlocks: number;
}

export interface StepLimits {
  /** Tokens in one step, prefill chunks and decodes together. */
  readonly maxBatchTokens: number;
  readonly maxSequences: number;
  /** Rows that reach the head: the sequences that are sampled, or the positions that are scored. */
  readonly maxOutputRows: number;
  /** Rows of logits that a scoring step gives; 0: the graph has no such step. */
  readonly maxScoredTokens: number;
  /** Tokens of one sequence. */
  readonly contextLength: number;
  /** Tokens per KV block. */
  readonly blockSize: number;
  /** Every layer with a KV cache is in one group. */
  readonly kvGroups: readonly KvGroup[];
  readonly maxBlocksPerSequence: number;
  /** Absent: the device's default. */
  readonly keyCacheDType?: DType;
  readonly valueCacheDType?: DType;
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
    numOutputRows: limits.maxOutputRows,
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
