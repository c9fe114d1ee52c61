/** Files come from anywhere: nothing that they say may move the cursor, change colours or begin a line of its own. */
import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { formatMemory } from "../src/index.js";
import { escapeControls, escapeControlsInText, jsonLine } from "../src/terminal-text.js";
import { thermocline } from "./support/command.js";
import { temporaryFolder } from "./support/paths.js";
import { tinyModel } from "./support/tiny-model.js";

const inFolder = temporaryFolder();
const hostile = "\x1b[2J\nerror: \x9b31m\u202eme\x07";
const shown = "\\x1b[2J\\nerror: \\x9b31m\\u202eme\\x07";
const path = inFolder("hostile.gguf");
writeFileSync(
  path,
  tinyModel({ metadata: { "general.name": hostile, [`key ${hostile}`]: "value \x9b\x7f" }, extraTensor: `tensor ${hostile}` }),
);
const namedPath = inFolder("named.gguf");
writeFileSync(namedPath, tinyModel({ metadata: { "general.name": hostile } }));
const otherPath = inFolder("other.gguf");
writeFileSync(otherPath, tinyModel({ metadata: { "general.architecture": hostile } }));

/** Line breaks end lines of ours; everything else would be obeyed. */
const obeyed = /[^\P{Cc}\n]|[\u2028-\u202e]/u;

describe("control characters of a file", () => {
  it("are escaped in keys, values and names of tensors", async () => {
    const { exitCode, stdout } = await thermocline(["inspect", path, "--tensors"]);
    expect(exitCode).toBe(0);
    expect(stdout).not.toMatch(obeyed);
    const lines = stdout.split("\n");
    expect(lines.filter((line) => line.startsWith(`key ${shown}  string `) && line.endsWith('  "value \\u009b\\u007f"'))).toHaveLength(1);
    expect(lines.filter((line) => line.startsWith(`tensor ${shown}  f32 `))).toHaveLength(1);
  });

  it("keep their meaning in JSON", async () => {
    const { stdout } = await thermocline(["inspect", path, "--json"]);
    expect(stdout).not.toMatch(obeyed);
    expect(JSON.parse(stdout).metadata).toMatchObject({ "general.name": hostile, [`key ${hostile}`]: "value \x9b\x7f" });
  });

  it("are escaped in the statistics' name", async () => {
    const args = ["run", namedPath, "--backend", "reference", "--prompt", "a", "--max-tokens", "1", "--stats"];
    const { exitCode, stderr } = await thermocline(args);
    expect(exitCode).toBe(0);
    expect(stderr).not.toMatch(obeyed);
    expect(stderr.split("\n")).toContain(`${shown}: 5 prompt tokens, 1 generated, 1 steps`);
  });

  it("are escaped in the line that tells an error, with --json too", async () => {
    const args = ["run", otherPath, "--backend", "reference", "--prompt", "a"];
    const plain = await thermocline(args);
    expect(plain).toMatchObject({ exitCode: 1, stdout: "" });
    expect(plain.stderr).toMatch(/^error: [^\n]+\n$/);
    expect(plain.stderr).not.toMatch(obeyed);
    expect(plain.stderr).toContain(shown);
    const json = await thermocline([...args, "--json"]);
    expect(json.stderr).not.toMatch(obeyed);
    expect(JSON.parse(json.stderr).error.architecture).toBe(hostile);
  });

  it("are escaped in arguments that are refused", async () => {
    const { stderr } = await thermocline(["run", path, "--top-k", hostile]);
    expect(stderr).not.toMatch(obeyed);
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
  });
});

describe("escapeControls", () => {
  it("leaves text of every script as it is", () => {
    const text = 'Größe 数 שלום 🙂 "quoted" \\x1b ▁Once';
    expect(escapeControls(text)).toBe(text);
    expect(JSON.parse(jsonLine({ text, big: 2n ** 60n }))).toEqual({ text, big: String(2n ** 60n) });
  });

  it("covers the memory table's names", () => {
    const reports = [{ device: "cpu:0\n", name: "\x1b[1m", budgetBytes: 1, byteLengthByClass: { weights: 1 } }];
    expect(formatMemory(reports)).toBe("device   weights  total  name\ncpu:0\\n      1 B    1 B  \\x1b[1m");
  });
});

describe("escapeControlsInText", () => {
  it("leaves lines, tabs and text from right to left, and shows what a terminal would obey", () => {
    const text = "Größe\n\tשלום\u200f 🙂\n";
    expect(escapeControlsInText(text)).toBe(text);
    expect(escapeControlsInText("\x1b[2J\r\x07\x9b\x7f\u202e")).toBe("\\x1b[2J\\r\\x07\\x9b\\x7f\\u202e");
  });
});
