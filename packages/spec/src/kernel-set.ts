/**
 * One method per op. Each records one command and runs nothing. Output first.
 *
 * T = numTokens, S = numSequences, R = numOutputRows, H = hidden size, V = vocabulary. Activations are f32, indices i32.
 * Kernels are batch-invariant: an output element is reduced in the same order whatever the batch, chunk or thread count.
 */
import type { CommandList, StepSignal, Tensor } from "./backend.js";
import type { Activation, RopeMode } from "./model-source.js";

export interface RopeArgs {
  /** Angle of pair i at position p: p · theta^(-2i / dims) / frequencyFactors[i]. */
  readonly theta: number;
  /** Leading elements of each head that are rotated; the rest pass. Even. */
  readonly dims: number;
  /** normal: pairs (2i, 2i + 1); neox: pairs (i, i + dims / 2). */
  readonly mode: RopeMode;
  /** [dims / 2] f32. */
  readonly frequencyFactors?: Tensor;
}

export interface AttentionArgs {
  /** [numBlocks, numKvHeads, blockSize, headDimK] */
  readonly keyCache: Tensor;
  /** [numBlocks, numKvHeads, blockSize, headDimV] */
  readonly valueCache: Tensor;
  /** [S, maxBlocksPerSequence] i32: block of the caches for each `blockSize` positions of a sequence. */
  readonly blockTables: Tensor;
  /** [S] i32: tokens of the sequence that lie in the cache, this step's included. */
  readonly contextLengths: Tensor;
  /** [S + 1 or more] i32: the rows of `q` that belong to sequence s are queryStarts[s] … queryStarts[s + 1] - 1, its last tokens. */
  readonly queryStarts: Tensor;
  readonly scale: number;
  /** A query at position p sees the keys at positions > p - slidingWindow; 0 or absent: all of them. */
  readonly slidingWindow?: number;
}

export interface SampleArgs {
  /** [R, 5] f32: temperature, topK, topP, minP, repetitionPenalty. */
  readonly params: Tensor;
  /** [R, 2] i32: seed and number of the draw; the same two give the same token whatever the batch. */
  readonly randomState: Tensor;
  /** [R, historyLength] i32: recent token ids for the penalty; -1 pads. */
  readonly history: Tensor;
  /** [n] i8, 64-byte aligned: what `traits.workspaceByteLength` asks for. */
  readonly workspace?: Tensor;
}

export interface KernelSet {
  /** out [T, H] = rows of table [V, H] named by tokenIds [T]. */
  embed(out: Tensor, table: Tensor, tokenIds: Tensor): void;
  /** out [R, H] = rows of x [T, H] named by rows [R]: the tokens that need logits, before the head. */
  gatherRows(out: Tensor, x: Tensor, rows: Tensor): void;
  /** out[t] = x[t] / sqrt(mean(x[t]²) + eps) · weight. `x` may be `out`. */
  rmsNorm(out: Tensor, x: Tensor, weight: Tensor, eps: number): void;
  /** out[t] = (x[t] - mean) / sqrt(variance + eps) · weight + bias. */
  layerNorm(out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | undefined, eps: number): void;
  /** out[t, n] = Σk x[t, k] · weight[n, k] (+ bias[n]). `workspace` [n] i8, 64-byte aligned: what
   *  `traits.workspaceByteLength` asks for. */
  matmul(out: Tensor, x: Tensor, weight: Tensor, options?: { readonly bias?: Tensor; readonly workspace?: Tensor }): void;
  /** Rotates q [T, numHeads, headDim] and k [T, numKvHeads, headDim] in place by positions [T]. */
  rope(q: Tensor, k: Tensor, positions: Tensor, args: RopeArgs): void;
  /** Writes k and v [T, numKvHeads, headDim] to slot slotMapping[t] = block · blockSize + offset of the caches, in the caches' dtype. */
  storeKv(k: Tensor, v: Tensor, keyCache: Tensor, valueCache: Tensor, slotMapping: Tensor): void;
  /** out [T, numHeads, headDimV] = softmax(scale · q · keysᵀ, causal) · values, heads grouped over the KV heads. */
  attention(out: Tensor, q: Tensor, args: AttentionArgs): void;
  /** out [T, N] = activation(gate) · up, or activation(gate) without up. `gate` may be `out`. */
  activate(out: Tensor, gate: Tensor, up: Tensor | undefined, activation: Activation): void;
  /** out = a + b, same shapes. `a` may be `out`. */
  add(out: Tensor, a: Tensor, b: Tensor): void;
  /** out = cap · tanh(x / cap). `x` may be `out`. */
  softcap(out: Tensor, x: Tensor, cap: number): void;
  /**
   * tokenIds [R] from logits [R, V], which stay as they are. In order: repetition penalty over `history`, then, where temperature is 0,
   * the largest logit (lowest id on ties); else top-k, top-p, min-p on the softmax at temperature 1, and a draw at `temperature`.
   * The draw is `uniformOf(seed, draw)` of `sampling.ts`. Where the largest logit is infinite no probabilities exist: the first candidate
   * (largest logit, lowest id on ties) is the token.
   */
  sample(tokenIds: Tensor, logits: Tensor, args: SampleArgs): void;
  /** For each row the sampled token, then the k - 1 most likely ones (lowest id first on ties), with natural-log probabilities of the
   *  logits as they are: ids [R, k] i32, logprobs [R, k] f32. */
  topLogprobs(ids: Tensor, logprobs: Tensor, logits: Tensor, sampledTokenIds: Tensor): void;
  /** Sets every element of an f32 tensor. */
  fill(out: Tensor, value: number): void;
  /** Copies plain tensors of one dtype and shape. GPU lists record copies to and from staging; CPU lists touch staging directly. */
  copy(to: Tensor, from: Tensor): void;
}

export interface Encoder extends KernelSet {
  /** Gives this step's number, after every command recorded before it. */
  signal(signal: StepSignal): void;
  /** Until the slot holds this step's number or is poisoned. */
  wait(signal: StepSignal): void;
  /** Ends the recording; the encoder cannot be used again. */
  finish(): CommandList;
}
