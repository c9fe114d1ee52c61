/** One `generate` call: its sequence, its text, and the events that its caller has yet to take. */
import type { FinishReason, GenerateEvent, StreamDecoder, Tokenizer, TokenLogprobs } from "@thermocline/spec";
import type { Sequence } from "./scheduling/sequence.js";
import { StopStrings } from "./stop-strings.js";

export interface GenerationOptions {
  readonly sequence: Sequence;
  readonly tokenizer: Tokenizer | undefined;
  readonly stop: readonly string[];
  readonly ignoreEos: boolean;
  /** Most likely tokens to report; undefined: no log-probabilities. */
  readonly numLogprobs: number | undefined;
  readonly startedAtMs: number;
}

/** Tokens of the prompt's end that prime the decoder: the three that may begin a character, and special tokens among them. */
const primingTokens = 16;

export class Generation {
  readonly sequence: Sequence;
  readonly #options: GenerationOptions;
  readonly #decoder: StreamDecoder | undefined;
  readonly #stopStrings: StopStrings;
  readonly #events: GenerateEvent[] = [];
  #failure: unknown;
  #wake: (() => void) | undefined;
  #ended = false;
  #completionTokens = 0;
  #firstTokenAtMs: number | undefined;
  #lastTokenAtMs = 0;

  constructor(options: GenerationOptions) {
    this.sequence = options.sequence;
    this.#options = options;
    this.#decoder = options.tokenizer?.createStreamDecoder();
    // The answer goes on from the prompt: its first token keeps its space, and completes a character that the prompt began.
    for (const tokenId of this.sequence.tokenIds.slice(-primingTokens)) this.#decoder?.push(tokenId);
    this.#stopStrings = new StopStrings(options.stop);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Takes a token that was sampled; ends the generation where it is the last. */
  accept(tokenId: number, logprobs: TokenLogprobs | undefined): void {
    const { ignoreEos, tokenizer, numLogprobs } = this.#options;
    this.#lastTokenAtMs = performance.now();
    this.#firstTokenAtMs ??= this.#lastTokenAtMs;
    this.#completionTokens++;
    if (!ignoreEos && tokenizer?.isEndOfGeneration(tokenId)) {
      this.end("stop");
      return;
    }
    const { text, stopped } = this.#stopStrings.push(this.#decoder?.push(tokenId) ?? "");
    const reported =
      logprobs === undefined || numLogprobs === undefined ? {} : { logprobs: [{ ...logprobs, top: logprobs.top.slice(0, numLogprobs) }] };
    this.#emit({ type: "text-delta", text, tokenIds: [tokenId], ...reported });
    if (stopped) this.end("stop", false);
    else if (this.sequence.numGeneratedTokens >= this.sequence.options.maxTokens) this.end("length");
  }

  /** `flush`: text that was held back belongs to the answer. */
  end(reason: FinishReason, flush = true): void {
    if (this.#ended) return;
    this.#ended = true;
    const { text, stopped } = flush ? this.#stopStrings.push(this.#decoder?.end() ?? "") : { text: "", stopped: true };
    const rest = stopped ? text : text + this.#stopStrings.end();
    if (rest !== "") this.#emit({ type: "text-delta", text: rest, tokenIds: [] });
    const { startedAtMs } = this.#options;
    const firstTokenAtMs = this.#firstTokenAtMs ?? performance.now();
    this.#emit({
      type: "end",
      reason,
      usage: {
        promptTokens: this.sequence.numPromptTokens,
        cachedPromptTokens: this.sequence.numCachedPromptTokens ?? 0,
        completionTokens: this.#completionTokens,
        timeToFirstTokenMs: firstTokenAtMs - startedAtMs,
        decodeMs: Math.max(0, this.#lastTokenAtMs - firstTokenAtMs),
      },
    });
  }

  fail(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = { error };
    this.#wake?.();
  }

  /** The events in order, until the end or the failure. */
  async *events(): AsyncGenerator<GenerateEvent, void, undefined> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) {
        yield event;
        if (event.type === "end") return;
      } else if (this.#failure !== undefined) {
        throw (this.#failure as { error: unknown }).error;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  #emit(event: GenerateEvent): void {
    this.#events.push(event);
    this.#wake?.();
  }
}
