/** Saved chats: versioned JSON, written for people to read and checked before it is believed. */
import { randomUUID } from "node:crypto";
import { rename, rm, writeFile } from "node:fs/promises";
import { ThermoclineError } from "@thermocline/spec";
import { fileAccessErrorOf, readTextFile } from "../../read-text-file.js";
import { problemOfSampling } from "../sampling-options.js";

export const chatRoles = ["system", "user", "assistant"] as const;

export interface SavedMessage {
  readonly role: (typeof chatRoles)[number];
  readonly content: string;
}

export interface SavedChat {
  readonly version: 1;
  /** For people; a chat may go on with another model. */
  readonly model: { readonly name: string; readonly identity: string };
  /** A system message at most first, then user and assistant in turns, the user first, the assistant last. */
  readonly messages: readonly SavedMessage[];
  /** Parameters that were chosen; others are the engine's defaults. */
  readonly sampling: Readonly<Record<string, unknown>>;
}

/** A file that is no saved chat, or one of another version. */
export class InvalidChatFileError extends ThermoclineError {
  readonly code = "invalid-chat-file";
  constructor(
    readonly path: string,
    /** "version", "messages[3].role", … */
    readonly field: string,
    problem: string,
    cure = "choose a file that /save has written",
  ) {
    super(`${path}: ${field} ${problem}`, cure);
  }
}

/** @throws FileAccessError, InvalidChatFileError. */
export async function readChat(path: string): Promise<SavedChat> {
  return parseChat(await readTextFile(path), path);
}

/** Replaces a saved chat, and no other file. @throws FileAccessError, InvalidChatFileError. */
export async function writeChat(path: string, chat: SavedChat): Promise<void> {
  const existing = await readTextFile(path).catch((error) => {
    if (error.cause?.code === "ENOENT") return undefined;
    throw error;
  });
  if (existing !== undefined) {
    try {
      parseChat(existing, path);
    } catch {
      throw new InvalidChatFileError(path, "file", "exists and holds no saved chat", "choose another name");
    }
  }
  // A disk that is full must not cost the chat that was saved before.
  const partial = `${path}.${randomUUID()}`;
  try {
    await writeFile(partial, `${JSON.stringify(chat, null, 2)}\n`);
    await rename(partial, path);
  } catch (cause) {
    await rm(partial, { force: true });
    throw fileAccessErrorOf(path, cause);
  }
}

/** @throws InvalidChatFileError naming the first field that is wrong. */
export function parseChat(json: string, path: string): SavedChat {
  const refuse = (field: string, problem: string): never => {
    throw new InvalidChatFileError(path, field, problem);
  };
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    return refuse("file", "is no JSON");
  }
  if (!isObject(parsed)) return refuse("file", "is no JSON object");
  const { version, model, messages, sampling = {} } = parsed;
  if (version !== 1) refuse("version", `is ${JSON.stringify(version)}, and 1 is known`);
  if (!isObject(model) || typeof model.name !== "string" || typeof model.identity !== "string")
    return refuse("model", "has no name and identity");
  if (!Array.isArray(messages)) return refuse("messages", "is no list");
  const checked = messages.map((message: unknown, index): SavedMessage => {
    const field = `messages[${index}]`;
    if (!isObject(message)) return refuse(field, "is no object");
    const role = chatRoles.find((known) => known === message.role);
    if (role === undefined) return refuse(`${field}.role`, `is ${JSON.stringify(message.role)}, and not one of ${chatRoles.join(", ")}`);
    if (typeof message.content !== "string") return refuse(`${field}.content`, "is no text");
    return { role, content: message.content };
  });
  const turns = checked[0]?.role === "system" ? checked.slice(1) : checked;
  turns.forEach(({ role }, index) => {
    const expected = index % 2 === 0 ? "user" : "assistant";
    if (role !== expected) refuse(`messages[${index + checked.length - turns.length}].role`, `is ${role} where ${expected} comes`);
  });
  if (turns.length % 2 !== 0) refuse("messages", "ends with a question that has no answer");
  if (!isObject(sampling)) return refuse("sampling", "is no object");
  for (const [name, value] of Object.entries(sampling)) {
    const problem = problemOfSampling(name, value);
    if (problem !== undefined) refuse(`sampling.${name}`, problem);
  }
  return { version: 1, model: { name: model.name, identity: model.identity }, messages: checked, sampling };
}
