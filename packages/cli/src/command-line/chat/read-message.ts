import { type ChatLines, LineDroppedError } from "./chat-lines.js";

const fence = '"""';

export interface ChatInput {
  readonly text: string;
  /** A line as it was typed, which may be a command; a text between fences or over several lines, pasted ones too, never is. */
  readonly isPlainLine: boolean;
}

/**
 * The next message: a line; several that were pasted together; lines that end with a backslash and the one behind them; or everything from `"""` to `"""`. What the end of the
 * input cuts off counts as whole. Undefined at the end.
 * @throws LineDroppedError with which all of the message is dropped; the signal's reason.
 */
export async function readMessage(lines: ChatLines, signal: AbortSignal): Promise<ChatInput | undefined> {
  const first = await lines.next("> ", signal);
  if (first === undefined) return undefined;
  if (first.includes("\n")) return { text: first, isPlainLine: false };
  if (first.trimStart().startsWith(fence)) return { text: await readFenced(first.trimStart(), lines, signal), isPlainLine: false };
  if (!first.endsWith("\\")) return { text: first, isPlainLine: true };
  const parts: string[] = [];
  for (let line: string | undefined = first; line !== undefined; line = await nextOf(lines, signal)) {
    if (!line.endsWith("\\")) {
      parts.push(line);
      break;
    }
    parts.push(line.slice(0, -1));
  }
  return { text: parts.join("\n"), isPlainLine: false };
}

async function nextOf(lines: ChatLines, signal: AbortSignal): Promise<string | undefined> {
  return lines.next("… ", signal).catch((error) => {
    // The lines before it were not empty.
    throw error instanceof LineDroppedError ? new LineDroppedError(false) : error;
  });
}

async function readFenced(first: string, lines: ChatLines, signal: AbortSignal): Promise<string> {
  const parts: string[] = [];
  let line: string | undefined = first.slice(fence.length);
  for (; line !== undefined; line = await nextOf(lines, signal)) {
    if (line.trimEnd().endsWith(fence)) {
      parts.push(line.trimEnd().slice(0, -fence.length));
      break;
    }
    parts.push(line);
  }
  // Fences on lines of their own add no empty lines.
  if (parts[0] === "") parts.shift();
  if (parts.at(-1) === "") parts.pop();
  return parts.join("\n");
}
