/** What a model file says. Knows no device. */
import type { DType } from "./dtype.js";

export interface ByteRange {
  readonly offset: number;
  readonly byteLength: number;
}

export interface TensorInfo {
  readonly name: string;
  readonly dtype: DType;
  /** Row-major, outermost first: `[rows, columns]`; the reverse of GGUF's `ne`. */
  readonly shape: readonly number[];
  /** Index into `ModelSource.shards`. */
  readonly shard: number;
  /** Where the tensor's bytes lie in that shard, from the start of the file. */
  readonly range: ByteRange;
}

/** A local path, a URL that answers range requests, or bytes (a browser's Blob). Native backends read a path themselves. */
export type ShardLocation =
  | { readonly kind: "path"; readonly path: string }
  | { readonly kind: "url"; readonly url: string }
  | { readonly kind: "blob"; readonly blob: Blob };

export type Activation = "silu" | "gelu" | "relu";
export type RopeMode = "normal" | "neox";

export interface RopeConfig {
  readonly theta: number;
  /** Leading elements of each head that are rotated. */
  readonly dims: number;
  readonly mode: RopeMode;
  /** Divisors of the frequencies, [dims / 2], where the file asks for a scaling: computed, a tensor of the file, or one of two tensors, the
   *  long one where an engine's context is longer than `originalContextLength`. */
  readonly frequencyFactors?:
    | { readonly values: readonly number[] }
    | { readonly tensor: string }
    | { readonly shortTensor: string; readonly longTensor: string; readonly originalContextLength: number };
  /** Factor of sine and cosine. */
  readonly magnitude: number;
}

export interface ExpertsConfig {
  readonly count: number;
  /** Experts that a token uses. */
  readonly used: number;
  /** Of one expert. */
  readonly feedForwardLength: number;
  /** The weights of a token's experts are divided by their sum. */
  readonly normalizeWeights: boolean;
}

/** Values that differ by layer in real models. */
export interface LayerConfig {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDimK: number;
  readonly headDimV: number;
  readonly feedForwardLength: number;
  /** A token sees this many tokens, itself included; absent: all before it. */
  readonly slidingWindow?: number;
  /** Factor of the attention scores, usually 1 / √headDimK. */
  readonly attentionScale: number;
  /** Absent: positions are not rotary. */
  readonly rope?: RopeConfig;
  readonly experts?: ExpertsConfig;
}

/** How a model of embeddings makes one vector of a text's hidden states. */
export type Pooling = "mean" | "cls" | "last";

export interface ModelConfig {
  readonly architecture: string;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** Longest context in tokens that the model was trained for. */
  readonly contextLength: number;
  readonly normEps: number;
  readonly activation: Activation;
  readonly layers: readonly LayerConfig[];
  /** Factor of the embeddings; absent: 1. */
  readonly embeddingScale?: number;
  /** Attention scores and logits are capped at ±this by tanh; absent: they are not. */
  readonly attentionSoftcap?: number;
  readonly logitSoftcap?: number;
  /** Present: a model of embeddings, which generates nothing. */
  readonly pooling?: Pooling;
}

export type SpecialToken = "bos" | "eos" | "eot" | "unk" | "pad" | "sep" | "cls";

/** ggml's token types, as `tokenizer.ggml.token_type` stores them. */
export const TokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

export interface Vocabulary {
  readonly model: "spm" | "bpe" | "wpm" | "unigram";
  /** `tokenizer.ggml.pre`: which pre-tokenizer splits text before merges. */
  readonly pre?: string;
  readonly tokens: readonly string[];
  /** One `TokenType` a token. */
  readonly types?: Uint8Array;
  readonly scores?: Float32Array;
  readonly merges?: readonly string[];
  readonly special: Readonly<Partial<Record<SpecialToken, number>>>;
  readonly addBos: boolean;
  /** A text ends with the end-of-sequence token, or with the separator; absent: it does not. */
  readonly addEos?: boolean;
  readonly addSep?: boolean;
  /** SPM: put a space before the text. */
  readonly addSpacePrefix: boolean;
  /** WPM: text is put into lower case, and marks are taken off its letters. Absent: both. */
  readonly lowercase?: boolean;
  readonly stripAccents?: boolean;
  /** Ids of special tokens behind which white space is dropped. */
  readonly stripSpaceAfter?: readonly number[];
}

/** Opens any architecture: a vocabulary-only file has no config. Reading the config is `core`'s `readModelConfig(source)`. */
export interface ModelSource extends AsyncDisposable {
  /** Numbers as `number` (64-bit ones as `number` where exact, else `bigint`), arrays of numbers as typed arrays. */
  readonly metadata: ReadonlyMap<string, unknown>;
  readonly vocabulary?: Vocabulary;
  readonly chatTemplate?: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly shards: readonly ShardLocation[];
  /** Bytes of a shard, for backends that cannot read the shard themselves. */
  read(shard: number, range: ByteRange, options?: { readonly signal?: AbortSignal }): Promise<Uint8Array>;
  /** Hash of headers and sizes, hexadecimal: keys plans, profiles and caches. The same file at another path has the same identity. */
  readonly identity: string;
}
