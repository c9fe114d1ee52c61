import { PassThrough, Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { createPipedLines, createTerminalLines, LineDroppedError } from "../../src/command-line/chat/chat-lines.js";
import { readMessage } from "../../src/command-line/chat/read-message.js";

const { signal } = new AbortController();

async function messagesOf(text: string): Promise<(string | readonly [string])[]> {
  using lines = createPipedLines(Readable.from([Buffer.from(text)]));
  const messages: (string | readonly [string])[] = [];
  for (let input = await readMessage(lines, signal); input !== undefined; input = await readMessage(lines, signal))
    messages.push(input.isPlainLine ? input.text : [input.text]);
  return messages;
}

describe("messages of piped lines", () => {
  it.each<[string, string, (string | readonly [string])[]]>([
    ["a line is a message, also the last without its end", "a\r\n\nb", ["a", "", "b"]],
    ["a backslash goes on", "a\\\nb\\\nc\nd\n", [["a\nb\nc"], "d"]],
    ["a backslash at the end of the input ends there", "a\\", [["a"]]],
    ["fences on lines of their own", '"""\na\n\nb\n"""\nc\n', [["a\n\nb"], "c"]],
    ["fences beside the text", '"""a\nb"""\n"""c"""\n', [["a\nb"], ["c"]]],
    ["a fence that is never closed ends with the input", '"""a\nb\n', [["a\nb"]]],
    ["a fence within a line is text", 'say """a"""\n', ['say """a"""']],
  ])("%s", async (_what, text, messages) => {
    expect(await messagesOf(text)).toEqual(messages);
  });

  it("waits no longer when the signal aborts", async () => {
    const controller = new AbortController();
    using lines = createPipedLines(new Readable({ read() {} }));
    const waiting = lines.next("", controller.signal);
    controller.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
  });
});

describe("messages of a terminal", () => {
  const paste = (text: string) => `\x1b[200~${text}\x1b[201~`;

  /** What the keys become, the terminal's bytes in one piece. */
  async function typed(keys: string): Promise<{ readonly first: unknown; readonly shown: string }> {
    const [input, output] = [new PassThrough(), new PassThrough()];
    using lines = createTerminalLines(input, output);
    const first = readMessage(lines, signal).catch((error: unknown) => error);
    input.write(keys);
    const outcome = await first;
    return { first: outcome, shown: String(output.read()) };
  }

  it.each<[string, string, unknown]>([
    ["typed lines are a message each", "a\rb\r", { text: "a", isPlainLine: true }],
    [
      "pasted lines are one message, with what is typed before and behind",
      `x ${paste("a\r\rb")} y\r`,
      { text: "x a\n\nb y", isPlainLine: false },
    ],
    ["a paste of one whole line may be a command", `${paste("/help\r")}\r`, { text: "/help", isPlainLine: true }],
    ["a slash before several pasted lines is text", `${paste("/a\r\nb\r\n")}\r`, { text: "/a\nb", isPlainLine: false }],
    ["Ctrl-C drops what was pasted", `${paste("a\r")}\x03`, new LineDroppedError(false)],
  ])("%s", async (_what, keys, expected) => {
    const { first, shown } = await typed(keys);
    expect(first).toEqual(expected);
    if (first instanceof LineDroppedError) expect(first.wasEmpty).toBe(false);
    expect(shown.startsWith("\x1b[?2004h")).toBe(true);
    expect(shown.endsWith("\x1b[?2004l")).toBe(true);
  });
});
