import { encodeChat } from "@thermocline/core/tokenizer";
import { type GenerateEvent, ThermoclineError } from "@thermocline/spec";
import { checkGeneratesText } from "../../generates-text.js";
import type { OpenedModel } from "../../open.js";
import { escapeControls, escapeControlsInText, jsonLine } from "../../terminal-text.js";
import { writeAnswerEvent } from "../answer-output.js";
import { ChatCommandError, type ChatContext, loadChat, runChatCommand } from "../chat/chat-commands.js";
import { readChat } from "../chat/chat-file.js";
import { type ChatLines, createPipedLines, createTerminalLines, LineDroppedError } from "../chat/chat-lines.js";
import { type ChosenTemplate, chooseTemplate } from "../chat/choose-template.js";
import { type Answer, Conversation } from "../chat/conversation.js";
import { readMessage } from "../chat/read-message.js";
import { type Interruption, interruptible } from "../interruption.js";
import { withModel } from "../loaded-model.js";
import { readModelHeader } from "../model-header.js";
import { tokenizerOf, vocabularyOf } from "../model-vocabulary.js";
import { messageWithOptions } from "../option-names.js";
import type { ModelOptions } from "../options.js";
import { type SamplingOptions, samplingOf } from "../sampling-options.js";
import { writeNotice, writeOutput } from "../standard-streams.js";

export interface ChatOptions extends ModelOptions, SamplingOptions {
  readonly system?: string;
  readonly load?: string;
  readonly template?: string;
  readonly maxTokens?: number;
  readonly stop?: readonly string[];
}

export async function chat(path: string, options: ChatOptions): Promise<void> {
  await interruptible(async (signal, interruption) => {
    // What would be refused is refused before the weights are loaded, which may take minutes.
    const chosen = await templateOf(path, options.template, signal);
    if (options.load !== undefined) await readChat(options.load);
    await withModel(path, options, signal, (model) => converse(model, chosen, options, signal, interruption), { prefixCache: true });
  });
}

async function templateOf(path: string, named: string | undefined, signal: AbortSignal): Promise<ChosenTemplate> {
  const { source, config } = await readModelHeader(path, signal);
  checkGeneratesText(config);
  return chooseTemplate(source, named);
}

async function converse(
  model: OpenedModel,
  chosen: ChosenTemplate,
  options: ChatOptions,
  signal: AbortSignal,
  interruption: Interruption,
): Promise<void> {
  const { system, load, maxTokens, minTokens, logitBias, json = false } = options;
  const tokenizer = model.tokenizer ?? tokenizerOf(model.source);
  const addBos = vocabularyOf(model.source).addBos;
  const conversation = new Conversation(
    model,
    (messages) =>
      encodeChat(
        tokenizer,
        chosen.template,
        messages.map((message) => ({ ...message })),
        { addBos },
      ),
    {
      sampling: samplingOf(options),
      stop: [...chosen.stop, ...(options.stop ?? [])],
      maxTokens,
      minTokens,
      logitBias,
    },
  );
  const say = (text: string) => writeNotice(json ? jsonLine({ notice: text }) : escapeControlsInText(text));
  const context: ChatContext = { conversation, model, say };
  if (load !== undefined) await loadChat(context, load);
  if (system !== undefined) conversation.setSystem(system);
  await new Chat(context, json, signal, interruption).run();
}

/** Reads, answers and obeys until the input ends, /exit, or the second Ctrl-C. */
class Chat {
  /** Of the answer that is being streamed. */
  #answering: AbortController | undefined;
  #wasWarned = false;

  constructor(
    private readonly context: ChatContext,
    private readonly asJson: boolean,
    private readonly signal: AbortSignal,
    private readonly interruption: Interruption,
  ) {}

  async run(): Promise<void> {
    const { stdin, stderr } = process;
    const isTerminal = stdin.isTTY && stderr.isTTY;
    this.interruption.divert(() => this.#onInterrupt());
    using lines = isTerminal ? createTerminalLines(stdin, stderr) : createPipedLines(stdin);
    if (isTerminal) this.context.say(`${escapeControls(this.context.model.name)}. /help lists the commands, Ctrl-D leaves.`);
    while (await this.#turn(lines, isTerminal));
  }

  /** False where the chat is over. */
  async #turn(lines: ChatLines, isTerminal: boolean): Promise<boolean> {
    const input = await readMessage(lines, this.signal).catch((error) => {
      if (error instanceof LineDroppedError) return error;
      throw error;
    });
    if (input instanceof LineDroppedError && input.wasEmpty) this.#onInterrupt();
    else this.#wasWarned = false;
    if (input instanceof LineDroppedError) return true;
    if (input === undefined) {
      if (isTerminal) writeNotice("");
      return false;
    }
    const { text, isPlainLine } = input;
    if (text.trim() === "") return true;
    try {
      const isCommand = isPlainLine && text.startsWith("/") && !text.startsWith("//");
      if (!isCommand)
        await this.#answer((signal) => this.context.conversation.ask(isPlainLine ? text.replace(/^\/\//, "/") : text, signal));
      else {
        const outcome = await runChatCommand(text, this.context);
        if (outcome === "leave") return false;
        if (outcome === "regenerate") await this.#answer((signal) => this.context.conversation.regenerate(signal));
      }
    } catch (error) {
      if (!ThermoclineError.isInstance(error)) throw error;
      this.#report(error, isTerminal);
    }
    return true;
  }

  async #answer(start: (signal: AbortSignal) => AsyncGenerator<GenerateEvent, Answer, undefined> | undefined): Promise<void> {
    const answering = new AbortController();
    const events = start(AbortSignal.any([answering.signal, this.signal]));
    if (events === undefined) throw new ChatCommandError("/regen", "has no answer to replace", "ask something first");
    this.#answering = answering;
    try {
      let step = await events.next();
      for (; !step.done; step = await events.next()) await writeAnswerEvent(step.value, this.asJson);
      this.signal.throwIfAborted();
      await this.#conclude(step.value);
    } finally {
      this.#answering = undefined;
    }
  }

  async #conclude({ text, reason, isContextFull, isDropped }: Answer): Promise<void> {
    if (!this.asJson && !(text === "" && isDropped)) await writeOutput(text.endsWith("\n") ? "" : "\n");
    if (isDropped) this.context.say("(stopped before the answer began; the message is not kept)");
    else if (reason === "abort") this.context.say("(stopped; what was said is kept)");
    if (isContextFull) {
      const { contextLength } = this.context.model;
      this.context.say(
        `(the context of ${contextLength} tokens is full, so the answer ends here; /clear begins a new chat, or /save it and /load it under a longer --context)`,
      );
    }
  }

  /** A person sees it and goes on; a program also learns of it from the exit code. */
  #report(error: ThermoclineError, isTerminal: boolean): void {
    if (!isTerminal) process.exitCode = 1;
    writeNotice(this.asJson ? jsonLine({ error: error.toJSON() }) : `error: ${escapeControls(messageWithOptions(error))}`);
  }

  #onInterrupt(): void {
    if (this.#answering !== undefined && !this.#answering.signal.aborted) this.#answering.abort();
    else if (this.#answering !== undefined || this.#wasWarned) this.interruption.abort();
    else {
      this.#wasWarned = true;
      this.context.say("(Ctrl-C once more leaves, and so does Ctrl-D; /help lists the commands)");
    }
  }
}
