import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import type { GenerateEvent } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { open } from "../src/index.js";
import { finish, start, thermocline } from "./support/command.js";
import { embeddedModel, temporaryFolder } from "./support/paths.js";
import { tinyModel } from "./support/tiny-model.js";

const inFolder = temporaryFolder();
const tinyPath = inFolder("tiny.gguf");
const vocabularyPath = inFolder("vocabulary.gguf");
writeFileSync(tinyPath, tinyModel());
writeFileSync(vocabularyPath, tinyModel({ vocabularyOnly: true, metadata: { "general.architecture": "of tomorrow" } }));

const parseLines = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("thermocline", () => {
  it("prints its package's version", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
    expect(await thermocline(["--version"])).toEqual({ exitCode: 0, stdout: `${version}\n`, stderr: "" });
  });

  it.each(["run", "chat", "plan", "inspect", "tokenize", "embed", "eval", "bench", "logprobs"])(
    "shows an example of %s in its help",
    async (command) => {
      const { exitCode, stdout } = await thermocline([command, "--help"]);
      expect(exitCode).toBe(0);
      expect(stdout).toMatch(new RegExp(`Example:\n.*thermocline ${command} model.gguf`));
    },
  );
});

describe("run", () => {
  it("says so where the model ends the text at once", async () => {
    const endOfText = 2;
    const ended = await thermocline(["run", embeddedModel, "--prompt", "Once", "--temperature", "0", "--logit-bias", `${endOfText}=1000`]);
    expect(ended).toMatchObject({ exitCode: 0, stdout: "" });
    expect(ended.stderr).toMatch(/note: the model ended the text at once; --ignore-eos/);
  });

  const prompt = "The little dog was sad because";
  const args = ["run", embeddedModel, "--temperature", "0", "--max-tokens", "8"];

  it("takes every option's limits", async () => {
    const limits = [
      ...["--temperature=0", "--top-k=0", "--top-p=1", "--min-p=0", "--typical-p=1", "--top-n-sigma=0", "--seed=-1", "--logprobs=20"],
      ...["--xtc-probability=1", "--xtc-threshold=0", "--mirostat-tau=0", "--mirostat-eta=0", "--repetition-penalty=0.1"],
      ...["--presence-penalty=-2", "--frequency-penalty=2", "--penalty-last-n=0", "--dry-multiplier=0", "--dry-base=1"],
      ...["--dry-allowed-length=0", "--dry-last-n=-1", "--dry-sequence-breaker=x", "--logit-bias=5=-inf", "--min-tokens=0"],
      ...["--batch-tokens=1", "--context=64", "--threads=1"],
    ];
    const { exitCode, stdout } = await thermocline(["run", tinyPath, "--prompt", "a", "--max-tokens=1", "--json", ...limits]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('"type":"end"');
  });

  it("writes the text that open() generates, and nothing else, to stdout", async () => {
    let text = "";
    await using model = await open(embeddedModel);
    for await (const event of model.generate({ prompt, maxTokens: 8, sampling: { temperature: 0 } }))
      if (event.type === "text-delta") text += event.text;
    expect(text).toBe(" he had no friends to play with.");
    expect(await thermocline([...args, "--prompt", prompt])).toMatchObject({ exitCode: 0, stdout: text });
    expect(await thermocline(args, `${prompt}\n`)).toMatchObject({ exitCode: 0, stdout: text });
  });

  it("draws the same text with the same seed", async () => {
    const drawn = (seed: string) => thermocline(["run", tinyPath, "--prompt", "a", "--max-tokens", "20", "--ignore-eos", "--seed", seed]);
    const [first, again, other] = await Promise.all([drawn("1"), drawn("1"), drawn("2")]);
    expect(again.stdout).toBe(first.stdout);
    expect(other.stdout).not.toBe(first.stdout);
  });

  it("writes one event a line with --json, with log-probabilities where asked", async () => {
    const { stdout } = await thermocline([...args, "--prompt", prompt, "--json", "--logprobs", "3", "--stats"]);
    const lines = parseLines(stdout) as (GenerateEvent | { type: "statistics"; memory: unknown[] })[];
    expect(lines.map(({ type }) => type)).toEqual([...Array(8).fill("text-delta"), "end", "statistics"]);
    const first = lines[0] as Extract<GenerateEvent, { type: "text-delta" }>;
    expect(first.logprobs).toHaveLength(1);
    expect(first.logprobs![0]!.top).toHaveLength(3);
    expect(first.logprobs![0]!.top[0]).toEqual([first.tokenIds[0], first.logprobs![0]!.logprob]);
    expect(lines.at(-2)).toMatchObject({ reason: "length", usage: { promptTokens: 7, completionTokens: 8 } });
  });

  it("biases tokens, and does not end before the least number of tokens", async () => {
    const tiny = ["run", tinyPath, "--prompt", "a", "--temperature", "0", "--max-tokens", "4", "--json"];
    const idsOf = async (...more: readonly string[]) =>
      parseLines((await thermocline([...tiny, ...more])).stdout).flatMap(({ tokenIds = [] }) => tokenIds);
    expect(await idsOf("--logit-bias", "100=1000", "--logit-bias", "101=999")).toEqual([100, 100, 100, 100]);
    expect(await idsOf("--logit-bias", "2=1000", "--logit-bias", "101=999")).toEqual([]);
    expect(await idsOf("--logit-bias", "2=1000", "--logit-bias", "101=999", "--min-tokens", "3")).toEqual([101, 101, 101]);
  });

  it("keeps keys and values in the types that were asked for, in fewer bytes", async () => {
    const kvBytes = async (...types: readonly string[]) => {
      const args = [
        "run",
        embeddedModel,
        "--prompt",
        "Once",
        "--max-tokens",
        "1",
        "--context",
        "64",
        "--json",
        "--stats",
        "--backend",
        "reference",
      ];
      const { memory } = parseLines((await thermocline([...args, ...types])).stdout).at(-1);
      return memory[0].byteLengthByClass["kv-cache"] as number;
    };
    const [f16, keysOnly] = [await kvBytes("--kv-type", "f16"), await kvBytes("--kv-type", "f16", "--kv-type-k", "f32")];
    expect(keysOnly / f16).toBeCloseTo(1.5, 12);
  });

  it("ends before a stop text", async () => {
    const { stdout } = await thermocline([...args, "--prompt", prompt, "--stop", "never", "--stop", "friends"]);
    expect(stdout).toBe(" he had no ");
  });

  it("tells speed and memory on stderr with --stats", async () => {
    const { stdout, stderr } = await thermocline([
      "run",
      tinyPath,
      "--backend",
      "reference",
      "--prompt",
      "a",
      "--ignore-eos",
      "--max-tokens",
      "3",
      "--stats",
    ]);
    expect(stdout).not.toContain("tok/s");
    expect(stderr).toMatch(/^tiny: 5 prompt tokens, 3 generated, 3 steps$/m);
    expect(stderr).toMatch(/^reference:0 .*Reference, JavaScript$/m);
  });

  it("goes on with the reference backend where the addon is missing, and says so, unless the CPU was asked for", async () => {
    const env = { THERMOCLINE_CPU_BINDING: inFolder("none.node") };
    const tiny = ["run", tinyPath, "--prompt", "a", "--max-tokens", "3", "--temperature", "0", "--ignore-eos"];
    const [fallback, reference, refused] = await Promise.all([
      thermocline(tiny, "", env),
      thermocline([...tiny, "--backend", "reference"], "", env),
      thermocline([...tiny, "--backend", "cpu"], "", env),
    ]);
    expect(fallback).toMatchObject({ exitCode: 0, stdout: reference.stdout });
    expect(fallback.stderr).toMatch(/^note: the CPU addon is not available, [^\n]+\n$/);
    expect(reference.stderr).toBe("");
    expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
    expect(refused.stderr).toMatch(/^error: backend cpu is not available: .*none\.node/);
  });

  it.each([
    ["Ctrl-C", "SIGINT", 130],
    ["SIGTERM", "SIGTERM", 143],
  ] as const)("stops at %s with the exit code that shells give it", async (_what, signal, exitCode) => {
    const child = start("run", embeddedModel, "--backend", "reference", "--prompt", "Once upon a time", "--ignore-eos");
    const finished = finish(child);
    await once(child.stdout, "data");
    child.kill(signal);
    expect(await finished).toMatchObject({ exitCode, stderr: "" });
  });

  it("stops quietly when its reader goes", async () => {
    const child = start("run", embeddedModel, "--backend", "reference", "--prompt", "Once upon a time", "--ignore-eos");
    const finished = finish(child);
    await once(child.stdout, "data");
    child.stdout.destroy();
    expect(await finished).toMatchObject({ exitCode: 0, stderr: "" });
  });
});

describe("inspect", () => {
  it("says what the graph computes, layers that are alike together, or why there is none", async () => {
    const { stdout } = await thermocline(["inspect", embeddedModel]);
    expect(stdout).toMatch(/^graph +llama, 6 layers of 288, context 256\nattention +6 heads over 6 of keys and values, 48 wide$/m);
    const { config } = JSON.parse((await thermocline(["inspect", embeddedModel, "--json"])).stdout);
    expect(config).toMatchObject({ architecture: "llama", layers: [{ layers: [0, 1, 2, 3, 4, 5], numHeads: 6, feedForwardLength: 768 }] });
    expect((await thermocline(["inspect", vocabularyPath])).stdout).toMatch(/^graph +none: architecture of tomorrow: /m);
  });

  it("shows metadata, vocabulary and, where asked, tensors, arrays cut short", async () => {
    const { stdout } = await thermocline(["inspect", embeddedModel]);
    expect(stdout).toMatch(/^llama\.context_length +u32 +256$/m);
    expect(stdout).toMatch(/^tokenizer\.ggml\.tokens +string\[\] +\["<unk>", .*… 32000 elements\]$/m);
    expect(stdout).not.toContain("blk.0.ffn_up.weight");
    const withTensors = await thermocline(["inspect", embeddedModel, "--tensors"]);
    expect(withTensors.stdout).toMatch(/^blk\.0\.ffn_up\.weight +q8_0 +\[768, 288\] +235008 +0:\d+$/m);
  });

  it("gives the same as JSON", async () => {
    const { stdout } = await thermocline(["inspect", embeddedModel, "--json"]);
    const inspected = JSON.parse(stdout);
    expect(inspected).toMatchObject({ format: "gguf", tensorCount: 56, vocabulary: { model: "spm", size: 32000 } });
    expect(inspected.metadata["tokenizer.ggml.scores"]).toEqual({ type: "f32[]", length: 32000, first: Array(8).fill(0) });
    expect(inspected.tensors).toHaveLength(56);
    await using model = await open(embeddedModel);
    expect(inspected.identity).toBe(model.identity);
  });

  it("reads files of other architectures and without tensors", async () => {
    const { exitCode, stdout } = await thermocline(["inspect", vocabularyPath]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^general\.architecture +string +"of tomorrow"$/m);
    expect(stdout).toMatch(/^tensors +none$/m);
  });
});

describe("tokenize", () => {
  const tokenize = async (text: string | Uint8Array, ...options: readonly string[]) =>
    JSON.parse((await thermocline(["tokenize", embeddedModel, "--json", ...options], text)).stdout);

  it("turns the whole of stdin into ids", async () => {
    expect(await tokenize("Once upon a time")).toEqual([9038, 2501, 263, 931]);
    expect(await tokenize("Once upon a time\n")).toEqual([9038, 2501, 263, 931, 13]);
    expect(await tokenize("")).toEqual([]);
  });

  it("reads bytes that are no UTF-8 as U+FFFD", async () => {
    expect(await tokenize(Uint8Array.of(0x61, 0xff, 0x62))).toEqual(await tokenize("a\ufffdb"));
  });

  it("adds BOS and recognises special tokens only where asked", async () => {
    expect(await tokenize("Once", "--bos")).toEqual([1, 9038]);
    expect(await tokenize("<s>", "--special")).toEqual([1]);
    expect(await tokenize("<s>")).not.toContain(1);
  });

  it("prints an id and its piece a line", async () => {
    const { stdout } = await thermocline(["tokenize", embeddedModel], "Once upon");
    expect(stdout).toBe('9038\t"▁Once"\n2501\t"▁upon"\n');
  });

  it("needs only the vocabulary", async () => {
    const { stdout } = await thermocline(["tokenize", vocabularyPath, "--json"], "A");
    expect(JSON.parse(stdout).at(-1)).toBe(3 + "A".charCodeAt(0));
  });
});

describe("logprobs", () => {
  const score = async (request: unknown) => {
    const { stdout, stderr } = await thermocline(["logprobs", embeddedModel], JSON.stringify(request));
    return stdout === "" ? stderr : JSON.parse(stdout);
  };
  const promptTokenIds = [1, 9038, 2501, 263, 931];

  it("gives the greedy tokens and the likeliest of each step, most likely first", async () => {
    const { greedyTokenIds, steps } = await score({ promptTokenIds, steps: 4, top: 5 });
    expect(greedyTokenIds).toEqual([29892, 727, 471, 263]);
    expect(steps.map((step: unknown[]) => step.length)).toEqual([5, 5, 5, 5]);
    for (const [index, step] of steps.entries()) {
      const logprobs = step.map(([, logprob]: [number, number]) => logprob);
      expect(step[0][0]).toBe(greedyTokenIds[index]);
      expect(logprobs).toEqual([...logprobs].sort((a, b) => b - a));
      expect(logprobs.reduce((sum: number, logprob: number) => sum + Math.exp(logprob), 0)).toBeLessThanOrEqual(1.00001);
    }
  });

  it("feeds forced tokens: forcing the greedy ones changes nothing, forcing another one does", async () => {
    const free = await score({ promptTokenIds, steps: 3, top: 3 });
    expect(await score({ promptTokenIds, steps: 3, top: 3, forcedTokenIds: free.greedyTokenIds })).toEqual(free);
    const forced = await score({ promptTokenIds, steps: 3, top: 3, forcedTokenIds: [13, 13, 13] });
    expect(forced.steps[0]).toEqual(free.steps[0]);
    expect(forced.steps[1]).not.toEqual(free.steps[1]);
  });
});
