/** The messages of a chat, and the answers of a model to them. Knows no terminal. */
import { type FinishReason, type GenerateEvent, type GenerateUsage, type SamplingParams, ThermoclineError } from "@thermocline/spec";
import type { OpenedModel } from "../../open.js";
import type { TokenBias } from "../option-values.js";
import type { SavedMessage } from "./chat-file.js";

/** The messages are longer than the context. The chat is as it was. */
export class ContextFullError extends ThermoclineError {
  readonly code = "context-full";
  constructor(
    readonly chatTokens: number,
    readonly contextLength: number,
  ) {
    super(
      `the chat with this message has ${chatTokens} tokens, the context holds ${contextLength}; the message was not sent and the chat is kept`,
      "/clear begins a new chat, or /save it and /load it under a longer --context",
    );
  }
}

export interface AnswerOptions {
  readonly sampling: Partial<SamplingParams>;
  readonly maxTokens?: number;
  readonly minTokens?: number;
  readonly stop: readonly string[];
  readonly logitBias?: readonly TokenBias[];
}

export interface Answer {
  readonly text: string;
  readonly reason: FinishReason;
  readonly usage: GenerateUsage;
  /** The answer ended because nothing more fits. */
  readonly isContextFull: boolean;
  /** Stopped before it said anything: neither question nor answer is kept. */
  readonly isDropped: boolean;
}

export class Conversation {
  /** A system message at most first, then questions and answers in turns. */
  #messages: readonly SavedMessage[] = [];
  #sampling: Partial<SamplingParams>;
  #regenerations = 0;
  #lastAnswer: Answer | undefined;

  constructor(
    private readonly model: Pick<OpenedModel, "generate" | "contextLength">,
    /** Messages to a prompt's token ids, with the opening of an assistant's turn at the end. */
    private readonly encode: (messages: readonly SavedMessage[]) => readonly number[],
    private readonly options: AnswerOptions,
  ) {
    this.#sampling = options.sampling;
  }

  get messages(): readonly SavedMessage[] {
    return this.#messages;
  }

  get system(): string | undefined {
    const [first] = this.#messages;
    return first?.role === "system" ? first.content : undefined;
  }

  get lastAnswer(): Answer | undefined {
    return this.#lastAnswer;
  }

  get sampling(): Partial<SamplingParams> {
    return this.#sampling;
  }

  /** What the conversation was made with, whatever a chat that was loaded said. */
  get chosenSampling(): Partial<SamplingParams> {
    return this.options.sampling;
  }

  /** From the next answer on; undefined takes the system message away. */
  setSystem(content: string | undefined): void {
    this.#messages = [...(content === undefined ? [] : [{ role: "system", content } as const]), ...this.#turns()];
  }

  /** The system message stays. */
  clear(): void {
    this.#messages = this.#messages.slice(0, this.#messages.length - this.#turns().length);
    this.#lastAnswer = undefined;
  }

  replace(messages: readonly SavedMessage[], sampling: Partial<SamplingParams>): void {
    this.#messages = messages;
    this.#sampling = sampling;
    this.#lastAnswer = undefined;
  }

  /** Streams the answer to a question; both are kept when the stream has ended. @throws ContextFullError, ChatTemplateError. */
  ask(question: string, signal: AbortSignal): AsyncGenerator<GenerateEvent, Answer, undefined> {
    return this.#answer([...this.#messages, { role: "user", content: question }], signal, this.#messages);
  }

  /** Streams another answer to the last question; undefined where there is none. The old answer goes when the new one has come. */
  regenerate(signal: AbortSignal): AsyncGenerator<GenerateEvent, Answer, undefined> | undefined {
    if (this.#turns().length === 0) return undefined;
    // With a fixed seed the same question would get the same answer.
    this.#regenerations++;
    return this.#answer(this.#messages.slice(0, -1), signal, this.#messages);
  }

  /** `unanswered` ends with a question; `otherwise` is kept where no answer comes. */
  async *#answer(
    unanswered: readonly SavedMessage[],
    signal: AbortSignal,
    otherwise: readonly SavedMessage[],
  ): AsyncGenerator<GenerateEvent, Answer, undefined> {
    const { contextLength } = this.model;
    const prompt = this.encode(unanswered);
    if (prompt.length >= contextLength) throw new ContextFullError(prompt.length, contextLength);
    const { maxTokens, minTokens, stop, logitBias } = this.options;
    const sampling = this.#sampling;
    const seed = sampling.seed === undefined ? {} : { seed: (sampling.seed + this.#regenerations) | 0 };
    const request = { prompt, sampling: { ...sampling, ...seed }, maxTokens, minTokens, stop, logitBias };
    let text = "";
    const answered = () => [...unanswered, { role: "assistant", content: text } as const];
    try {
      for await (const event of this.model.generate(request, { signal })) {
        if (event.type === "text-delta") text += event.text;
        yield event;
        if (event.type !== "end") continue;
        const { reason, usage } = event;
        const isContextFull = reason === "length" && usage.promptTokens + usage.completionTokens >= contextLength;
        // An answer that a model ends at once is one; an answer that was stopped at once is none.
        const isDropped = reason === "abort" && text === "";
        this.#messages = isDropped ? otherwise : answered();
        this.#lastAnswer = { text, reason, usage, isContextFull, isDropped };
        return this.#lastAnswer;
      }
      throw new Error("a generation ended without saying so");
    } catch (error) {
      this.#messages = text === "" ? otherwise : answered();
      throw error;
    }
  }

  #turns(): readonly SavedMessage[] {
    return this.#messages[0]?.role === "system" ? this.#messages.slice(1) : this.#messages;
  }
}
