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

export interface EngineStatistics {
  readonly steps: number;
  /** Awaits of the step loop on devices: one a step. */
  readonly awaits: number;
  readonly crossings: Readonly<Record<DeviceId, number>>;
  /** Of all steps that ran split layers with tracing on: milliseconds in which both legs ran, and of the shorter legs. */
  readonly overlap?: { readonly overlappedMs: number; readonly shorterLegMs: number };
}

export interface Engine extends AsyncDisposable {
  /** Starts at the first `next()`. Many may run at once; they are batched. @throws InvalidRequestError at the first `next()`. */
  generate(request: GenerateRequest, options?: { readonly signal?: AbortSignal }): AsyncIterable<GenerateEvent>;
  memory(): readonly DeviceMemoryReport[];
  statistics(): EngineStatistics;
}
