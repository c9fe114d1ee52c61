/** Requests and events. All are structured-cloneable, so that an engine can live in a worker. */
import type { DeviceId, MemoryClass } from "./memory.js";
import type { SamplingParams } from "./sampling.js";

export interface GenerateRequest {
  /** Text (special tokens in it are not parsed; BOS is added where the vocabulary says so), or token ids as they are. */
  readonly prompt: string | Uint32Array | readonly number[];
  readonly sampling?: Partial<SamplingParams>;
  /** Default: as many as the context holds. */
  readonly maxTokens?: number;
  /** Generation ends before the first of these; a match may span tokens. */
  readonly stop?: readonly string[];
  /** For each token the log-probabilities of it and of this many most likely ones, 0 to 20; absent: none. */
  readonly logprobs?: number;
  /** Added to the logits of token ids; finite, or -Infinity to ban a token. */
  readonly logitBias?: readonly (readonly [tokenId: number, bias: number])[];
  /** End-of-generation tokens are not sampled before this many tokens. Default 0. */
  readonly minTokens?: number;
  /** Go on past end-of-generation tokens. */
  readonly ignoreEos?: boolean;
  /** The tokens to be "generated": each step's logits are those after feeding these, whatever was sampled. For scoring: `logprobs` then
   *  tells of the model's own choice and its likeliest tokens, among which the forced one is to be looked up. */
  readonly forcedTokenIds?: readonly number[];
}

export type FinishReason = "stop" | "length" | "abort";

export interface TokenLogprobs {
  readonly tokenId: number;
  readonly logprob: number;
  /** Most likely first. */
  readonly top: readonly (readonly [tokenId: number, logprob: number])[];
}

export interface GenerateUsage {
  readonly promptTokens: number;
  /** Of these, tokens whose keys and values were still in the cache. */
  readonly cachedPromptTokens: number;
  readonly completionTokens: number;
  /** Time to first token, from `generate` to the first event. */
  readonly timeToFirstTokenMs: number;
  /** From the first token to the last. */
  readonly decodeMs: number;
}

export type GenerateEvent =
  | {
      readonly type: "text-delta";
      readonly text: string;
      readonly tokenIds: readonly number[];
      readonly logprobs?: readonly TokenLogprobs[];
    }
  | { readonly type: "end"; readonly reason: FinishReason; readonly usage: GenerateUsage };

export interface DeviceMemoryReport {
  readonly device: DeviceId;
  readonly name: string;
  readonly budgetBytes: number;
  readonly byteLengthByClass: Readonly<Partial<Record<MemoryClass, number>>>;
}

export interface ScoreRequest {
  /** Token ids as they are; at most as many as the context holds. */
  readonly tokenIds: readonly number[] | Uint32Array;
  /** The first position whose logits are wanted; default 0. */
  readonly firstPosition?: number;
}

export interface PositionLogits {
  readonly position: number;
  /** [vocabSize] of the token after `position`. Valid until the next one is asked for. */
  readonly logits: Float32Array;
}

/** Blocks of the KV cache over the layers that share them: all with the same sliding window, or all without one. */
export interface KvCacheStatistics {
  readonly slidingWindow?: number;
  readonly layers: readonly number[];
  /** Of one block over all these layers. */
  readonly blockByteLength: number;
  readonly numBlocks: number;
  /** Blocks that sequences hold. */
  readonly blocksInUse: number;
  /** Blocks that no sequence holds but that keep a prefix for later requests; they are free for the asking. */
  readonly blocksCached: number;
}

export interface EngineStatistics {
  readonly steps: number;
  /** Awaits of the step loop on devices: one a step. */
  readonly awaits: number;
  readonly crossings: Readonly<Record<DeviceId, number>>;
  readonly kvCaches: readonly KvCacheStatistics[];
  /** Of all steps that ran split layers with tracing on: milliseconds in which both legs ran, and of the shorter legs. */
  readonly overlap?: { readonly overlappedMs: number; readonly shorterLegMs: number };
}

export interface Engine extends AsyncDisposable {
  /** Starts at the first `next()`. Many may run at once; they are batched. @throws InvalidRequestError at the first `next()`. */
  generate(request: GenerateRequest, options?: { readonly signal?: AbortSignal }): AsyncIterable<GenerateEvent>;
  /** The logits after each token of a text, in ascending order of position. @throws InvalidRequestError at the first `next()`, also where
   *  the engine was made without memory for scoring. */
  score(request: ScoreRequest, options?: { readonly signal?: AbortSignal }): AsyncIterable<PositionLogits>;
  memory(): readonly DeviceMemoryReport[];
  statistics(): EngineStatistics;
}

/** Makes vectors of texts. */
export interface Embedder extends AsyncDisposable {
  /** Elements of a vector. */
  readonly dimension: number;
  /** A unit vector for each input, in their order. @throws InvalidRequestError for an input that is empty or longer than the context. */
  embed(
    inputs: readonly (string | readonly number[] | Uint32Array)[],
    options?: { readonly signal?: AbortSignal },
  ): Promise<readonly Float32Array[]>;
  memory(): readonly DeviceMemoryReport[];
}
