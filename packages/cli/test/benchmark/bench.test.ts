/** `thermocline bench`: what it measures, and what it refuses. Speeds themselves are the machine's. */
import { writeFileSync } from "node:fs";
import { cpuBackendAvailability } from "@thermocline/cpu-kernels";
import { describe, expect, it } from "vitest";
import { createProgram, runProgram } from "../../src/command-line/program.js";
import { open } from "../../src/index.js";
import { thermocline } from "../support/command.js";
import { embeddedModel, temporaryFolder } from "../support/paths.js";
import { tinyModel } from "../support/tiny-model.js";

const inFolder = temporaryFolder();
const tinyPath = inFolder("tiny.gguf");
writeFileSync(tinyPath, tinyModel());

const { available: hasCpu } = cpuBackendAvailability();
if (!hasCpu) console.warn("the CPU addon is missing: bench is tested on the reference backend alone");

const args = ["bench", tinyPath, "--prompt", "16", "--generate", "8", "--depth", "32", "--repetitions", "3"];

describe("bench", () => {
  it("measures prefill and decode apart, at the depth that was asked for, with the conditions", async () => {
    const { exitCode, stdout, stderr } = await thermocline([...args, "--backend", "reference", "--json"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    const result = JSON.parse(stdout);
    await using model = await open(tinyPath, { backend: "reference" });
    expect(result).toMatchObject({
      date: expect.stringMatching(/^\d{4}-\d{2}-\d{2}T/),
      machine: { processor: expect.any(String), parallelism: expect.any(Number), memoryBytes: expect.any(Number) },
      versions: { thermocline: expect.stringMatching(/^\d+\.\d+\.\d+/), node: process.versions.node },
      model: { name: "tiny", identity: model.identity, architecture: "llama" },
      request: { promptTokens: 16, generateTokens: 8, depth: 32, repetitions: 3 },
    });
    const [{ prefill, decode, devices, decodeBytesPerSecond }, ...others] = result.measurements;
    expect(others).toEqual([]);
    expect(devices).toEqual({ "reference:0": "Reference, JavaScript" });
    for (const [phase, tokens] of [
      [prefill, 16],
      [decode, 8],
    ]) {
      expect(phase).toMatchObject({ tokens, depth: 32 });
      const { median, minimum, maximum, samples } = phase.tokensPerSecond;
      expect(samples).toHaveLength(3);
      expect([minimum, median, maximum]).toEqual([...samples].sort((a: number, b: number) => a - b));
    }
    // Two layers, the norm behind them, and the embedding's table as the head: 4 bytes an element, and a row of it for the token.
    const layerElements = 2 * 32 + 2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32;
    expect(result.model.activeBytesPerToken).toBe(4 * (2 * layerElements + 32 + 259 * 32 + 32));
    expect(decodeBytesPerSecond).toBeCloseTo(decode.tokensPerSecond.median * result.model.activeBytesPerToken, 3);
  });

  it.runIf(hasCpu)("compares numbers of threads, and decode with what they read from memory", async () => {
    const { exitCode, stdout } = await thermocline([
      "bench",
      tinyPath,
      "--prompt",
      "0",
      "--generate",
      "4",
      "--repetitions",
      "1",
      "--threads",
      "1,2",
    ]);
    expect(exitCode).toBe(0);
    const [header, ...rows] = stdout.split("\n\n")[1]!.trimEnd().split("\n");
    expect(header).toMatch(/^threads +phase +tokens +depth +tok\/s +least +most +GB\/s +of what memory gives$/);
    expect(rows.map((row) => row.trim().split(/ +/).slice(0, 4))).toEqual([
      ["1", "decode", "4", "1"],
      ["2", "decode", "4", "1"],
    ]);
    for (const row of rows) expect(row).toMatch(/ \d+ % of \d+\.\d\d GB\/s$/);
  });

  it.each<[string, readonly string[], string, RegExp]>([
    [
      "a depth beyond the context",
      ["--depth", "200", "--prompt", "56"],
      "invalid-request",
      /take 257 tokens of context, .* trained for 256;/,
    ],
    ["nothing", ["--prompt", "0", "--generate", "0"], "invalid-request", /^--generate: leaves nothing to measure/],
    [
      "threads of a backend that has one",
      ["--backend", "reference", "--threads", "2"],
      "invalid-request",
      /decided by the reference backend/,
    ],
    ["threads that are no numbers", ["--threads", "1,many"], "usage", /'1,many' is invalid\. A whole number from 1/],
    ["no repetitions", ["--repetitions", "0"], "usage", /A whole number from 1/],
  ])("refuses %s", async (_what, options, code, message) => {
    const refused = runProgram(createProgram(), ["bench", embeddedModel, ...options]);
    await expect(refused).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });
});
