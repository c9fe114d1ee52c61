import { Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { createPipedLines } from "../../src/command-line/chat/chat-lines.js";
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
