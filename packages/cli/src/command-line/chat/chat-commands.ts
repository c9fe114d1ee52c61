/** What a line that begins with a slash does. */
import { ThermoclineError } from "@thermocline/spec";
import { formatMemory } from "../../format-memory.js";
import type { OpenedModel } from "../../open.js";
import { formatDecodeSpeed } from "../answer-output.js";
import { readChat, writeChat } from "./chat-file.js";
import type { Conversation } from "./conversation.js";

export interface ChatContext {
  readonly conversation: Conversation;
  readonly model: OpenedModel;
  say(text: string): void;
}

/** "regenerate": the caller streams another answer. */
export type CommandOutcome = "done" | "leave" | "regenerate";

/** A command that there is not, or without what it needs. */
export class ChatCommandError extends ThermoclineError {
  readonly code = "chat-command";
  constructor(
    readonly command: string,
    problem: string,
    cure = "/help lists the commands, and // begins a message with a slash",
  ) {
    super(`${command} ${problem}`, cure);
  }
}

interface ChatCommand {
  readonly usage: string;
  readonly help: string;
  run(context: ChatContext, argument: string): Promise<CommandOutcome | undefined> | CommandOutcome | undefined;
}

const commands: Readonly<Record<string, ChatCommand>> = {
  "/help": {
    usage: "/help",
    help: "this list",
    run: ({ say }) => say(helpText()) as undefined,
  },
  "/system": {
    usage: "/system [TEXT|off]",
    help: "show the system message, set it, or take it away",
    run({ conversation, say }, text) {
      if (text === "") say(conversation.system ?? "no system message");
      else conversation.setSystem(text === "off" ? undefined : text);
      return undefined;
    },
  },
  "/memory": { usage: "/memory", help: "where each byte lies", run: ({ model, say }) => say(formatMemory(model.memory())) as undefined },
  "/stats": {
    usage: "/stats",
    help: "speed of the last answer, tokens reused, and the KV cache",
    run: (context) => context.say(formatChatStatistics(context)) as undefined,
  },
  "/save": {
    usage: "/save FILE",
    help: "write the chat to a file",
    async run({ conversation, model, say }, path) {
      if (path === "") throw new ChatCommandError("/save", "needs a file", "give its name: /save chat.json");
      const { messages, sampling } = conversation;
      await writeChat(path, { version: 1, model: { name: model.name, identity: model.identity }, messages, sampling: { ...sampling } });
      say(`saved ${messages.length} messages to ${path}`);
      return undefined;
    },
  },
  "/load": {
    usage: "/load FILE",
    help: "go on with a chat that was saved; this one is forgotten",
    async run(context, path) {
      if (path === "") throw new ChatCommandError("/load", "needs a file", "give its name: /load chat.json");
      await loadChat(context, path);
      return undefined;
    },
  },
  "/clear": {
    usage: "/clear",
    help: "forget the chat, not the system message",
    run: ({ conversation }) => conversation.clear() as undefined,
  },
  "/regen": { usage: "/regen", help: "another answer to the last message", run: () => "regenerate" },
  "/exit": { usage: "/exit", help: "leave", run: () => "leave" },
};

/** @throws ChatCommandError, FileAccessError, InvalidChatFileError. */
export async function runChatCommand(line: string, context: ChatContext): Promise<CommandOutcome> {
  const [, name = "", argument = ""] = /^(\S+)\s*([\s\S]*)$/.exec(line.trim()) ?? [];
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) throw new ChatCommandError(name, "is no command");
  return (await command.run(context, argument)) ?? "done";
}

/** Sampling parameters that the command line gave stay; the others are those of the file. */
export async function loadChat({ conversation, model, say }: ChatContext, path: string): Promise<void> {
  const { messages, sampling, model: saved } = await readChat(path);
  conversation.replace(messages, { ...sampling, ...conversation.chosenSampling });
  const other = saved.identity === model.identity ? "" : `; it was held with another model, ${saved.name}`;
  say(`loaded ${messages.length} messages from ${path}${other}`);
}

function helpText(): string {
  const width = Math.max(...Object.values(commands).map(({ usage }) => usage.length));
  const lines = Object.values(commands).map(({ usage, help }) => `${usage.padEnd(width)}  ${help}`);
  return [
    ...lines,
    "",
    'A line is a message. A backslash at its end, or """ before and after, make several lines one message, and so does pasting them.',
    "Ctrl-C stops an answer and keeps what was said; at an empty prompt, twice, it leaves, as Ctrl-D does.",
  ].join("\n");
}

function formatChatStatistics({ conversation, model }: ChatContext): string {
  const { lastAnswer, messages } = conversation;
  const answers = messages.filter(({ role }) => role === "assistant").length;
  const lines: string[] = [];
  if (lastAnswer === undefined) lines.push("no answer yet");
  else {
    const { promptTokens, cachedPromptTokens, completionTokens, timeToFirstTokenMs, decodeMs } = lastAnswer.usage;
    lines.push(
      `last answer: ${promptTokens} prompt tokens, ${cachedPromptTokens} of them reused, ${completionTokens} generated (${lastAnswer.reason})`,
      `first token after ${timeToFirstTokenMs.toFixed(1)} ms, then ${formatDecodeSpeed(completionTokens, decodeMs)}`,
      `chat: ${answers} ${answers === 1 ? "answer" : "answers"}, ${promptTokens + completionTokens} of ${model.contextLength} tokens`,
    );
  }
  for (const { slidingWindow, layers, numBlocks, blocksInUse, blocksCached } of model.statistics().kvCaches) {
    const window = slidingWindow === undefined ? "" : `, window ${slidingWindow}`;
    lines.push(
      `kv-cache of ${layers.length} layers${window}: ${blocksInUse} of ${numBlocks} blocks in use, ${blocksCached} kept for reuse`,
    );
  }
  return lines.join("\n");
}
