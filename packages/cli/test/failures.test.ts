/** What the command says when it cannot do what it is asked: one line with a cure, exit code 1. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { OffloadPlan, OffloadPlanUnit } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createProgram, runProgram } from "../src/command-line/program.js";
import { thermocline, thermoclineInto } from "./support/command.js";
import { embeddedModel, splitPlan, temporaryFolder } from "./support/paths.js";
import { tinyModel } from "./support/tiny-model.js";

const inFolder = temporaryFolder();

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(inFolder(name), content);
  return inFolder(name);
}

function plan(name: string, change: (plan: OffloadPlan) => unknown): string {
  return file(name, JSON.stringify(change(JSON.parse(readFileSync(splitPlan, "utf8")))));
}

/** The plan with its first unit's entries replaced. */
const withFirstLayer = (name: string, ...entries: readonly Omit<OffloadPlanUnit, "id">[]) =>
  plan(name, ({ units, ...rest }) => ({
    ...rest,
    units: [...units.slice(2), ...entries.map((entry) => ({ id: "blk.0.feed-forward", ...entry }))],
  }));

const ask = ["--prompt", "Once", "--max-tokens", "2", "--backend", "reference"];
const withPlan = (path: string) => ["run", embeddedModel, "--prompt", "Once", "--plan", path];
const hugeContext = 2 ** 31 - 2 ** 16;
const longContext = tinyModel({ metadata: { "llama.context_length": { type: "u32", value: hugeContext } } });

const cases: readonly [what: string, args: () => readonly string[], code: string, message: RegExp, input?: string][] = [
  ["a file that is not there", () => ["run", inFolder("none.gguf"), ...ask], "file-access", /none\.gguf: does not exist/],
  ["a directory", () => ["inspect", inFolder(".")], "file-access", /is a directory/],
  ["a file that is no GGUF", () => ["inspect", file("text.gguf", "This is a text and no model.")], "invalid-gguf", /magic at byte 0/],
  ["an empty file", () => ["tokenize", file("empty.gguf", "")], "invalid-gguf", /empty\.gguf/],
  ["a file cut short", () => ["run", file("cut.gguf", tinyModel().slice(0, -5000)), ...ask], "invalid-gguf", /cut\.gguf/],
  [
    "a missing tensor",
    () => ["run", file("lacking.gguf", tinyModel({ without: "blk.1.ffn_down.weight" })), ...ask],
    "invalid-tensor",
    /blk\.1\.ffn_down\.weight/,
  ],
  [
    "an architecture without a graph",
    () => ["run", file("other.gguf", tinyModel({ metadata: { "general.architecture": "of-tomorrow" } })), ...ask],
    "unsupported-model",
    /of-tomorrow.*supported: .*llama/,
  ],
  [
    "a vocabulary that is not known",
    () => ["tokenize", file("vocab.gguf", tinyModel({ metadata: { "tokenizer.ggml.model": "of-tomorrow" } }))],
    "invalid-tensor",
    /tokenizer\.ggml\.model/,
  ],
  ["a context longer than the model's", () => ["run", embeddedModel, ...ask, "--context", "257"], "invalid-request", /trained for 256/],
  [
    "a context that does not fit into memory",
    () => ["run", file("long.gguf", longContext), ...ask, "--context", String(hugeContext)],
    "insufficient-memory",
    /needs \d+ bytes, \d+ are free.*; use contextLength: \d+, which fits/,
  ],
  [
    "a prompt longer than the context",
    () => ["run", embeddedModel, "--backend", "reference", "--context", "4", "--prompt", "Once upon a time there was a dog"],
    "invalid-request",
    /prompt: has 9 tokens, the context holds 4/,
  ],
  ["an empty prompt", () => ["run", embeddedModel, "--prompt", ""], "invalid-request", /prompt: is empty/],
  ["an empty stdin", () => ["run", embeddedModel], "invalid-request", /prompt: is empty/],
  ["a plan that is not there", () => withPlan(inFolder("none.json")), "file-access", /none\.json: does not exist/],
  ["a plan that is no JSON", () => withPlan(file("text.json", "cpu:0 takes all")), "invalid-plan", /no JSON/],
  [
    "a plan for another model",
    () => withPlan(plan("other.json", (known) => ({ ...known, model: "0123" }))),
    "invalid-plan",
    /model is 0123, the file is fd527669/,
  ],
  [
    "a plan that places a row twice",
    () => withPlan(withFirstLayer("twice.json", { device: "cpu:0", rows: [[0, 416]] }, { device: "cpu:1", rows: [[384, 384]] })),
    "invalid-plan",
    /blk\.0\.feed-forward has rows 384 to 415 twice/,
  ],
  [
    "a plan that forgets rows",
    () => withPlan(withFirstLayer("gap.json", { device: "cpu:0", rows: [[0, 352]] }, { device: "cpu:1", rows: [[384, 384]] })),
    "invalid-plan",
    /lacks rows 352 to 383/,
  ],
  [
    "a plan that cuts a quantisation block",
    () => withPlan(withFirstLayer("cut.json", { device: "cpu:0", rows: [[0, 400]] }, { device: "cpu:1", rows: [[400, 368]] })),
    "invalid-plan",
    /cut at row 400 .*multiple of 32/,
  ],
  ["a request that is no JSON", () => ["logprobs", embeddedModel], "invalid-request", /stdin: is no JSON/, "one,\ntwo"],
  ["a request without tokens", () => ["logprobs", embeddedModel], "invalid-request", /promptTokenIds: is no array/, '{"steps":1,"top":1}'],
  [
    "a token id outside the vocabulary",
    () => ["logprobs", embeddedModel, "--backend", "reference"],
    "invalid-request",
    /token id 32000 is outside/,
    '{"promptTokenIds":[32000],"steps":1,"top":1}',
  ],
  ["a chat in no format", () => ["chat", embeddedModel], "invalid-request", /holds no chat template; name the format .*chatml/],
  [
    "a format that there is not",
    () => ["chat", embeddedModel, "--template", "morse"],
    "invalid-request",
    /--template: is neither a built-in template nor a file.*morse: does not exist.*use chatml, /,
  ],
  [
    "a template that is broken",
    () => ["chat", embeddedModel, "--template", file("broken.jinja", "{% for %}")],
    "chat-template",
    /does not parse/,
  ],
  [
    "a chat file that is none",
    () => ["chat", embeddedModel, "--template", "plain", "--load", file("chat.json", "{}")],
    "invalid-chat-file",
    /chat\.json: version is undefined/,
  ],
  ["a text to measure that is not there", () => ["eval", embeddedModel, "--text", inFolder("none.txt")], "file-access", /does not exist/],
  [
    "a text shorter than a window",
    () => ["eval", embeddedModel, "--text", file("short.txt", "Once upon a time")],
    "invalid-request",
    /--text: has 5 tokens, a window of 256 takes 256; give a longer text/,
  ],
  [
    "a text shorter than the windows that were asked for",
    () => ["eval", embeddedModel, "--text", file("short.txt", "Once upon a time"), "--context", "4", "--chunks", "2"],
    "invalid-request",
    /--text: has 5 tokens, 2 windows of 4 take 8;/,
  ],
  [
    "fewer tokens than a window takes",
    () => ["eval", embeddedModel, "--text", file("short.txt", "Once upon a time"), "--tokens", "5", "--context", "6"],
    "invalid-request",
    /--tokens: is 5, a window takes 6;/,
  ],
  [
    "windows in which nothing is scored",
    () => ["eval", embeddedModel, "--text", file("short.txt", "Once upon a time"), "--context", "2"],
    "invalid-request",
    /--context: is 2, .* at least 3/,
  ],
  [
    "models of different vocabularies",
    () => ["eval", embeddedModel, "--text", file("short.txt", "Once"), "--kl-against", file("tiny.gguf", tinyModel())],
    "invalid-request",
    /--kl-against: has a vocabulary of 259 tokens, the model one of 32000;/,
  ],
  ["nothing to embed", () => ["embed", embeddedModel], "invalid-request", /text: was not given/],
  [
    "texts in two places",
    () => ["embed", embeddedModel, "a", "--file", file("texts.txt", "a\n")],
    "invalid-request",
    /--file: was given beside texts/,
  ],
  [
    "an empty line to embed",
    () => ["embed", embeddedModel, "--file", file("gap.txt", "a\n\nb\n")],
    "invalid-request",
    /text: number 2 is empty/,
  ],
  ["to embed with a model that generates", () => ["embed", embeddedModel, "a"], "unsupported-model", /architecture llama/],
  [
    "more steps than the context holds",
    () => ["logprobs", embeddedModel, "--backend", "reference"],
    "invalid-request",
    /the context of 256 holds 255 more/,
    '{"promptTokenIds":[1],"steps":256,"top":1}',
  ],
];

describe("a command refuses", () => {
  it.each(cases)("%s", async (_what, args, code, message, input) => {
    const { exitCode, stdout, stderr } = await thermocline([...args(), "--json"], input);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    const { error } = JSON.parse(stderr);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(error.message.endsWith(`; ${error.cure}`)).toBe(true);
  });

  it("in one line without --json, whatever the message quotes", async () => {
    const plain = await thermocline(["logprobs", embeddedModel], "one,\r\ntwo");
    expect(plain).toMatchObject({ exitCode: 1, stdout: "" });
    expect(plain.stderr).toMatch(/^error: stdin: is no JSON [^\r\n]+; write a request such as [^\r\n]+\n$/);
    const noJson = await thermocline(["run", embeddedModel, ...ask, "--logprobs", "2"]);
    expect(noJson).toEqual({
      exitCode: 1,
      stdout: "",
      stderr: "error: --logprobs: log-probabilities are shown in JSON only; add --json\n",
    });
  });

  it("in the words of the command line, where a person reads it", async () => {
    const { exitCode, stderr } = await thermocline(["run", embeddedModel, ...ask, "--min-tokens", "3"]);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^error: --min-tokens: is 3, --max-tokens is 2; lower --min-tokens or raise --max-tokens\n$/);
  });

  it.each([
    ["an unknown command", ["walk"], /unknown command 'walk'/],
    ["a command nearly right", ["inspct"], /unknown command 'inspct' \(Did you mean inspect\?\)/],
    ["an unknown option", ["run", embeddedModel, "--quickly"], /unknown option '--quickly'/],
    ["a missing file name", ["inspect"], /missing required argument 'model'/],
    ["text where a number is needed", ["run", embeddedModel, "--top-k", "many"], /'--top-k <k>' argument 'many' is invalid/],
    [
      "a bias without a token",
      ["run", embeddedModel, "--logit-bias", "much"],
      /'much' is invalid\. A token id, = and a number or -inf are needed/,
    ],
    ["a bias that is none", ["run", embeddedModel, "--logit-bias", "1=inf"], /'1=inf' is invalid/],
    ["a cache type that there is not", ["run", embeddedModel, "--kv-type", "q4_k"], /Allowed choices are f16, f32, q8_0, q4_0/],
    ["a text that was not named", ["eval", embeddedModel], /required option '--text <file>' not specified/],
    ["windows counted twice", ["eval", embeddedModel, "--text", "a", "--tokens", "1", "--chunks", "1"], /cannot be used with option/],
    ["a backend that there is not", ["run", embeddedModel, "--backend", "abacus"], /Allowed choices are auto, cpu, reference/],
  ])("%s, as a usage error, in JSON where that is asked for", async (_what, args, message) => {
    const plain = await thermocline(args);
    expect(plain).toMatchObject({ exitCode: 1, stdout: "" });
    expect(plain.stderr).toMatch(/^error: [^\n]+; add --help [^\n]+\n$/);
    expect(plain.stderr).toMatch(message);
    const json = await thermocline([...args, "--json"]);
    expect(json).toMatchObject({ exitCode: 1, stdout: "" });
    expect(json.stderr).toMatch(/^[^\n]+\n$/);
    expect(JSON.parse(json.stderr).error).toMatchObject({ code: "usage", message: expect.stringMatching(message) });
  });

  it("in plain text where --json is the value of an option or an argument", async () => {
    const value = await thermocline(["run", inFolder("none.gguf"), "--prompt", "--json"]);
    expect(value).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/^error: .*none\.gguf: does not exist/) });
    const argument = await thermocline(["inspect", "--", "--json"]);
    expect(argument).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/^error: --json: does not exist/) });
    const both = await thermocline(["run", inFolder("none.gguf"), "--prompt", "--json", "--json"]);
    expect(JSON.parse(both.stderr).error).toMatchObject({ code: "file-access" });
  });

  it.each([
    ["--max-tokens", "0", "whole number from 1"],
    ["--max-tokens", "1.5", "whole number from 1"],
    ["--temperature", "-0.5", "number from 0"],
    ["--temperature", "Infinity", "number from 0"],
    ["--top-k", "-1", "whole number from 0"],
    ["--top-p", "0", "number above 0 to 1"],
    ["--top-p", "1.01", "number above 0 to 1"],
    ["--min-p", "1", "number from 0 below 1"],
    ["--repetition-penalty", "0", "number above 0"],
    ["--typical-p", "0", "number above 0 to 1"],
    ["--top-n-sigma", "-1", "number from 0"],
    ["--xtc-probability", "1.1", "number from 0 to 1"],
    ["--xtc-threshold", "-0.1", "number from 0 to 1"],
    ["--mirostat-tau", "-1", "number from 0"],
    ["--mirostat-eta", "-1", "number from 0"],
    ["--presence-penalty", "much", "number"],
    ["--frequency-penalty", "Infinity", "number"],
    ["--penalty-last-n", "-1", "whole number from 0"],
    ["--dry-multiplier", "-1", "number from 0"],
    ["--dry-base", "0.9", "number from 1"],
    ["--dry-allowed-length", "-1", "whole number from 0"],
    ["--dry-last-n", "-2", "whole number from -1"],
    ["--min-tokens", "-1", "whole number from 0"],
    ["--batch-tokens", "0", "whole number from 1"],
    ["--seed", "0.5", "whole number from -9007199254740991 to 9007199254740991"],
    ["--logprobs", "21", "whole number from 0 to 20"],
    ["--threads", "0", "whole number from 1"],
    ["--context", "0", "whole number from 1"],
  ])("%s %s before it looks for the model", async (option, value, needed) => {
    const refused = runProgram(createProgram(), ["run", inFolder("none.gguf"), option, value]);
    const problem = `argument '${value}' is invalid. A ${needed} is needed; `;
    await expect(refused).rejects.toMatchObject({ code: "usage", message: expect.stringContaining(problem) });
    await expect(refused).rejects.toThrow(`option '${option} <`);
  });

  it("to guess the command where none is given: it shows the help on stderr", async () => {
    expect(await thermocline([])).toMatchObject({ exitCode: 1, stdout: "", stderr: expect.stringContaining("Usage: thermocline") });
  });
});

const fullDevice = "/dev/full";
const hasFullDevice = existsSync(fullDevice);
if (!hasFullDevice) console.warn(`${fullDevice} is missing: writing to a full disk is not tested`);

describe.runIf(hasFullDevice)("where stdout takes nothing", () => {
  it.each([
    ["run", ["run", embeddedModel, "--prompt", "Once", "--max-tokens", "3", "--backend", "reference"]],
    ["inspect", ["inspect", embeddedModel]],
    ["help", ["--help"]],
  ])("%s says so in one line", (_command, args) => {
    expect(thermoclineInto(fullDevice, args)).toEqual({
      exitCode: 1,
      stdout: "",
      stderr: "error: standard output cannot be written (ENOSPC); make room there, or send the output elsewhere\n",
    });
  });
});
