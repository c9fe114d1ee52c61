/**
 * One method per op. Each records one command and runs nothing. Output first.
 *
 * T = numTokens, S = numSequences, R = numOutputRows, H = hidden size, V = vocabulary, U = experts that a token uses. Activations are f32,
 * indices i32.
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
  /** Factor of sine and cosine (YaRN's); absent: 1. */
  readonly magnitude?: number;
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
  /** Scores become softcap · tanh(score / softcap) after `scale`; 0 or absent: they stay. */
  readonly softcap?: number;
  /** A query at position p sees the keys at positions > p - slidingWindow; 0 or absent: all of them. Blocks that no query of the step
   *  sees are not looked at: their entries in `blockTables` may be -1. */
  readonly slidingWindow?: number;
  /** A query sees no key after its own position. Default; false: it sees the whole context of its sequence. */
  readonly causal?: boolean;
}

export interface SampleArgs {
  /** [R, samplingColumns.length] f32. */
  readonly params: Tensor;
  /** [R, 2] i32: seed and number of the draw; the same two give the same token whatever the batch. */
  readonly randomState: Tensor;
  /** [R, E] i32: token ids whose logits change before anything else, each at most once a row; the first -1 ends a row's list. */
  readonly editIds: Tensor;
  /** [R, 2 · E] f32: for each id a penalty p > 0 and a bias b < Infinity: l becomes f32(f32(l > 0 ? l / p : l · p) + b). */
  readonly editValues: Tensor;
  /** [R] f32, read and written where mirostat is on: the surprise in bits beyond which a token is not drawn. */
  readonly surpriseLimits: Tensor;
  /** [n] i8, 64-byte aligned: what `traits.workspaceByteLength` asks for. */
  readonly workspace?: Tensor;
}

export interface KernelSet {
  /** out [T, H] = scale · rows of table [V, H] named by tokenIds [T]. Default scale 1, which leaves the table's values as they are. */
  embed(out: Tensor, table: Tensor, tokenIds: Tensor, scale?: number): void;
  /** out [R, H] = rows of x [T, H] named by rows [R]: the tokens that need logits, before the head. */
  gatherRows(out: Tensor, x: Tensor, rows: Tensor): void;
  /** y = x / sqrt(mean(x²) + eps) · weight for each vector along the last axis: [T, H], or [T, numHeads, headDim] for heads. `x` may be
   *  `out`. */
  rmsNorm(out: Tensor, x: Tensor, weight: Tensor, eps: number): void;
  /** out[t] = (x[t] - mean) / sqrt(variance + eps) · weight + bias. */
  layerNorm(out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | undefined, eps: number): void;
  /** out[t, n] = Σk x[t, k] · weight[n, k] (+ bias[n]). `workspace` [n] i8, 64-byte aligned: what
   *  `traits.workspaceByteLength` asks for. */
  matmul(out: Tensor, x: Tensor, weight: Tensor, options?: { readonly bias?: Tensor; readonly workspace?: Tensor }): void;
  /** Rotates q [T, numHeads, headDim] and k [T, numKvHeads, headDim] in place by positions [T]. */
  rope(q: Tensor, k: Tensor, positions: Tensor, args: RopeArgs): void;
  /**
   * Writes k and v [T, numKvHeads, headDim] to slot slotMapping[t] = block · blockSize + offset of the caches, each in its cache's dtype.
   * Quantised caches hold the file format's blocks along headDim, from x in f32 arithmetic, rounding to nearest, ties to even:
   * q8_0: d = max|x| / 127, q = round(x · (1 / d)); q4_0: d = m / -8 with m the x of largest magnitude (the first on ties),
   * q = min(15, round(x · (1 / d)) + 8). The scale is stored as f16(d). Where 1 / d is no finite number (d = 0 among them) it counts as 0;
   * NaN or infinity among the x makes the scale NaN (0x7e00). In both cases every q stands for 0: 0 of q8_0, 8 of q4_0.
   */
  storeKv(k: Tensor, v: Tensor, keyCache: Tensor, valueCache: Tensor, slotMapping: Tensor): void;
  /** out [T, numHeads, headDimV] = softmax(scale · q · keysᵀ) · values over the keys that a query sees, heads grouped over the KV heads.
   *  Keys and values may lie in caches of different dtypes. */
  attention(out: Tensor, q: Tensor, args: AttentionArgs): void;
  /** out [T, N] = activation(gate) · up, or activation(gate) without up. `gate` may be `out`. */
  activate(out: Tensor, gate: Tensor, up: Tensor | undefined, activation: Activation): void;
  /** out = a + b, same shapes. `a` may be `out`. */
  add(out: Tensor, a: Tensor, b: Tensor): void;
  /** out = cap · tanh(x / cap). `x` may be `out`. */
  softcap(out: Tensor, x: Tensor, cap: number): void;
  /**
   * tokenIds [R] from logits [R, V], which stay as they are. NaN, in them or after an edit, is a fault. In order, each step on what the one
   * before has left:
   * 1. `edits`. Then temperature 0: the largest logit, the lowest id on ties, is the token.
   * 2. Candidates: all tokens, logit descending, lowest id first on ties. Where the first logit is infinite no probabilities exist and it is
   *    the token. Probabilities are p = e / Σe with e = exp(l - l_first) over the candidates that are left, summed in their order, in double
   *    precision; l_first is the logit of the first that is left.
   * 3. mirostatTau > 0 (mirostat 2; Basu et al. 2021): p with e = exp((l - l_first) / temperature); those with -log2(p) above the row's
   *    surprise limit go, the first stays. After the draw, with p' the token's share of those left, the limit becomes
   *    f32(limit - mirostatEta · (-log2(p') - mirostatTau)). Steps 4 and 5 are left out. Where no draw is made (1, 2) the limit stays.
   * 4. topNSigma > 0: logits below max - topNSigma · σ go, σ² the mean square distance of the finite logits from their mean, both summed by
   *    ascending id (Tang et al. 2024).
   *    topK > 0: the first k stay. typicalP < 1: in ascending order of |-ln(p) - entropy|, ties in candidate order, those after the first
   *    whose running sum of p exceeds typicalP go (Meister et al. 2022); -ln(p) = ln(Σe) - (l - l_first), entropy = Σ p · -ln(p) in candidate
   *    order, where p = 0 adds nothing. Those that stay keep candidate order.
   *    topP < 1: the shortest prefix stays whose sum of p reaches topP. minP > 0: those with e below minP go.
   *    xtcProbability > uniformOf(seed, draw, 1): of the candidates with p >= xtcThreshold all but the last go.
   * 5. At least the first candidate of each step stays; typicalP may drop the most likely one.
   * 6. The draw at `temperature`: the first candidate whose running sum of exp((l - l_first) / temperature) exceeds
   *    uniformOf(seed, draw) of the whole.
   */
  sample(tokenIds: Tensor, logits: Tensor, args: SampleArgs): void;
  /** For each row the sampled token, then the k - 1 most likely ones (lowest id first on ties), with natural-log probabilities of the
   *  logits as they are: ids [R, k] i32, logprobs [R, k] f32. */
  topLogprobs(ids: Tensor, logprobs: Tensor, logits: Tensor, sampledTokenIds: Tensor): void;
  /**
   * The experts of each token, from the router's logits [T, numExperts]: expertIds [T, U] i32 by logit descending, lowest id first on ties,
   * and expertWeights [T, U] f32, their softmax probabilities over all experts; `normalize`: divided by their sum. NaN is a fault.
   */
  routeExperts(expertIds: Tensor, expertWeights: Tensor, logits: Tensor, options: { readonly normalize: boolean }): void;
  /**
   * out [T, U, N]: out[t, u] = x[t, u] · weight[slot]ᵀ with slot = expertSlots[expertIds[t, u]], for x [T, U, K], or x [T, K] that a token's
   * experts share. weight [numSlots, N, K] holds the experts of this device; slot -1: the expert is elsewhere, out[t, u] becomes zeros.
   * expertSlots [numExperts] i32 is read at each step, so experts move between devices without a new recording. An output element is reduced
   * as `matmul` reduces it.
   */
  expertMatmul(
    out: Tensor,
    x: Tensor,
    weight: Tensor,
    options: { readonly expertIds: Tensor; readonly expertSlots: Tensor; readonly workspace?: Tensor },
  ): void;
  /** out [T, H] = Σu expertWeights[t, u] · x[t, u], x [T, U, H], u ascending. */
  combineExperts(out: Tensor, x: Tensor, expertWeights: Tensor): void;
  /** out [S, H]: the mean of rows queryStarts[s] … queryStarts[s + 1] - 1 of x [T, H], summed in ascending order; zeros for a sequence
   *  without rows. */
  meanPool(out: Tensor, x: Tensor, queryStarts: Tensor): void;
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
