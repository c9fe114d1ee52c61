/** `thermocline chat` as a program drives it: lines in, answers out, signals in between. */
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import type { GenerateEvent } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { open } from "../../src/index.js";
import { finish, type RunningCommand, startTalking, thermocline } from "../support/command.js";
import { embeddedModel, temporaryFolder } from "../support/paths.js";
import { tinyModel } from "../support/tiny-model.js";

const inFolder = temporaryFolder();
const template = "{% for message in messages %}{{ message.role[0] }}{{ message.content }};{% endfor %}a";
const tinyPath = inFolder("tiny.gguf");
writeFileSync(tinyPath, tinyModel({ metadata: { "tokenizer.chat_template": template } }));

const savedAt = (path: string) => JSON.parse(readFileSync(path, "utf8"));
const tiny = ["chat", tinyPath, "--backend", "reference", "--temperature", "0", "--max-tokens", "3", "--min-tokens", "3"];

/** Answers of events: their texts and ends. */
function answersOf(stdout: string) {
  const events = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as GenerateEvent);
  const answers: { text: string; end?: Extract<GenerateEvent, { type: "end" }> }[] = [{ text: "" }];
  for (const event of events) {
    if (event.type === "text-delta") answers.at(-1)!.text += event.text;
    else {
      answers.at(-1)!.end = event;
      answers.push({ text: "" });
    }
  }
  return answers.slice(0, -1);
}

describe("chat, each line a turn", () => {
  it("answers in the format that was named, and reuses what the cache holds of the turns before", async () => {
    const args = ["chat", embeddedModel, "--template", "plain", "--temperature", "0", "--max-tokens", "24", "--json"];
    const { exitCode, stdout } = await thermocline(args, "Tell me a long story about a dog.\nAnd then?\n");
    expect(exitCode).toBe(0);
    const [first, second] = answersOf(stdout);
    let expected = "";
    await using model = await open(embeddedModel);
    const prompt = "User: Tell me a long story about a dog.\nAssistant:";
    for await (const event of model.generate({ prompt, maxTokens: 24, sampling: { temperature: 0 }, stop: ["\nUser:", "\nSystem:"] }))
      if (event.type === "text-delta") expected += event.text;
    expect(first!.text).toBe(expected);
    expect(first!.end!.usage.cachedPromptTokens).toBe(0);
    expect(second!.end!.usage.promptTokens).toBeGreaterThan(first!.end!.usage.promptTokens + first!.end!.usage.completionTokens);
    expect(second!.end!.usage.cachedPromptTokens).toBeGreaterThanOrEqual(32);
  });

  it("sends what the model's own template makes of system message and turns", async () => {
    // A byte vocabulary: BOS, the three bytes of the mark before a text, and a token for each character.
    const { stdout } = await thermocline([...tiny, "--system", "xyz", "--json"], "hi\n");
    expect(answersOf(stdout)[0]!.end!.usage).toMatchObject({ promptTokens: 1 + 3 + "sxyz;uhi;a".length, completionTokens: 3 });
  });

  it("takes lines that end with a backslash, and what stands between fences, as one message", async () => {
    const path = inFolder("lines.json");
    const { exitCode } = await thermocline(tiny, `one\\\ntwo\n"""\n/three\n\nfour"""\n//five\n\n/save ${path}\n`);
    expect(exitCode).toBe(0);
    const questions = savedAt(path).messages.filter(({ role }: { role: string }) => role === "user");
    expect(questions.map(({ content }: { content: string }) => content)).toEqual(["one\ntwo", "/three\n\nfour", "/five"]);
  });

  it("saves what was said, and goes on with it where it is loaded", async () => {
    const path = inFolder("chat.json");
    const first = await thermocline([...tiny, "--system", "s", "--seed", "7", "--top-k", "5"], `hi\n/save ${path}\n`);
    expect(first).toMatchObject({ exitCode: 0, stderr: `saved 3 messages to ${path}\n` });
    const answer = first.stdout.slice(0, -1);
    const saved = savedAt(path);
    expect(saved).toMatchObject({ version: 1, model: { name: "tiny" }, sampling: { temperature: 0, seed: 7, topK: 5 } });
    expect(saved.messages).toEqual([
      { role: "system", content: "s" },
      { role: "user", content: "hi" },
      { role: "assistant", content: answer },
    ]);
    const again = inFolder("again.json");
    const input = `/system\n/clear\n/save ${again}\n/load ${path}\n/system off\nho\n/save ${again}\n`;
    const second = await thermocline(
      ["chat", tinyPath, "--backend", "reference", "--load", path, "--max-tokens", "3", "--top-k", "4"],
      input,
    );
    expect(second.exitCode).toBe(0);
    expect(second.stderr.split("\n")).toEqual([
      `loaded 3 messages from ${path}`,
      "s",
      `saved 1 messages to ${again}`,
      `loaded 3 messages from ${path}`,
      `saved 4 messages to ${again}`,
      "",
    ]);
    expect(savedAt(again)).toMatchObject({ sampling: { temperature: 0, seed: 7, topK: 4 } });
    expect(savedAt(again).messages.slice(0, 3)).toEqual([...saved.messages.slice(1), { role: "user", content: "ho" }]);
  });

  it("draws another answer to the last message in place of the first, and the same ones with the same seed", async () => {
    const [before, after] = [inFolder("before.json"), inFolder("after.json")];
    const args = [
      "chat",
      tinyPath,
      "--backend",
      "reference",
      "--max-tokens",
      "8",
      "--min-tokens",
      "8",
      "--seed",
      "3",
      "--temperature",
      "2",
    ];
    const talk = () => thermocline(args, `hi\n/save ${before}\n/regen\n/save ${after}\n`);
    const first = await talk();
    expect(first.exitCode).toBe(0);
    expect(savedAt(before).messages).toHaveLength(2);
    expect(savedAt(after).messages).toHaveLength(2);
    expect(savedAt(after).messages[0]).toEqual(savedAt(before).messages[0]);
    expect(savedAt(after).messages[1].content).not.toBe(savedAt(before).messages[1].content);
    expect((await talk()).stdout).toBe(first.stdout);
  });

  it("tells memory, speed and reuse on stderr", async () => {
    const { stdout, stderr } = await thermocline(tiny, "/stats\nhi\n/stats\n/memory\n/help\n/exit\nnever\n");
    expect(stdout.endsWith("\n")).toBe(true);
    expect(stderr).toMatch(/^no answer yet\nkv-cache of 2 layers: 0 of 2 blocks in use, 0 kept for reuse$/m);
    expect(stderr).toMatch(/^last answer: \d+ prompt tokens, 0 of them reused, 3 generated \(length\)$/m);
    expect(stderr).toMatch(/^reference:0 .*Reference, JavaScript$/m);
    expect(stderr).toMatch(/^\/load FILE +go on with a chat/m);
    expect(stderr).not.toContain("never");
  });

  it("says when the context is full, keeps the chat, and goes on where it is cleared", async () => {
    const path = inFolder("full.json");
    const args = ["chat", tinyPath, "--backend", "reference", "--temperature", "0", "--min-tokens", "64"];
    const { exitCode, stderr, stdout } = await thermocline(args, `hi\nho\n/save ${path}\n/clear\nhu\n`);
    const lines = stderr.split("\n");
    expect(lines[0]).toMatch(/^\(the context of 64 tokens is full, so the answer ends here; \/clear begins a new chat/);
    expect(lines[1]).toMatch(/^error: the chat with this message has \d+ tokens, the context holds 64; .* \/clear begins a new chat/);
    expect(savedAt(path).messages.map(({ role }: { role: string }) => role)).toEqual(["user", "assistant"]);
    expect(lines[3]).toBe(lines[0]);
    expect(stdout.length).toBeGreaterThan(savedAt(path).messages[1].content.length);
    // A program learns of the message that was not sent.
    expect(exitCode).toBe(1);
  });

  it("goes on after what it cannot do", async () => {
    const foreign = inFolder("foreign.txt");
    writeFileSync(foreign, "no chat");
    const { exitCode, stderr } = await thermocline(tiny, `/nothing\n/save\n/save ${foreign}\n/load ${foreign}\n/regen\nhi\n/stats\n`);
    expect(exitCode).toBe(1);
    const [unknown, unnamed, overwritten, invalid, nothing, stats] = stderr.split("\n");
    expect(unknown).toMatch(/^error: \/nothing is no command; \/help lists/);
    expect(unnamed).toMatch(/^error: \/save needs a file; /);
    expect(overwritten).toMatch(/^error: .*foreign\.txt: file exists and holds no saved chat; choose another name$/);
    expect(invalid).toMatch(/^error: .*foreign\.txt: file is no JSON; /);
    expect(nothing).toMatch(/^error: \/regen has no answer to replace; /);
    expect(stats).toMatch(/^last answer: /);
    expect(readFileSync(foreign, "utf8")).toBe("no chat");
  });
});

describe("Ctrl-C in a chat", () => {
  const slow = ["chat", embeddedModel, "--backend", "reference", "--template", "plain", "--min-tokens", "200"];

  const until = async (child: RunningCommand, text: string) => {
    while (!child.stderrText().includes(text)) await once(child.process.stderr, "data");
  };

  it("stops an answer and keeps what was said", async () => {
    const path = inFolder("stopped.json");
    const child = startTalking(...slow);
    const finished = finish(child.process);
    child.process.stdin.write("Tell me a story.\n");
    await once(child.process.stdout, "data");
    child.process.kill("SIGINT");
    await until(child, "(stopped; what was said is kept)");
    child.process.stdin.end(`/save ${path}\n`);
    const { exitCode, stdout } = await finished;
    expect(exitCode).toBe(0);
    const { messages } = savedAt(path);
    expect(messages[0]).toEqual({ role: "user", content: "Tell me a story." });
    expect(messages[1].content).not.toBe("");
    expect(stdout).toBe(`${messages[1].content}\n`);
  });

  it("asks once where nothing is being said, and leaves at the second", async () => {
    const child = startTalking(...slow);
    const finished = finish(child.process);
    child.process.stdin.write("/system\n");
    await until(child, "no system message");
    child.process.kill("SIGINT");
    await until(child, "Ctrl-C once more leaves");
    child.process.kill("SIGINT");
    expect(await finished).toMatchObject({ exitCode: 130, stdout: "" });
  });
});
