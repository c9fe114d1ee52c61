/** `thermocline plan`: each option at least once, on the model that the repository carries. */
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { machineFromPreset, parsePlan } from "@thermocline/solver";
import type { OffloadPlan } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { open } from "../../src/index.js";
import { runHere } from "../support/in-process.js";
import { embeddedModel, splitPlan, temporaryFolder } from "../support/paths.js";
import { tinyModel } from "../support/tiny-model.js";

const inFolder = temporaryFolder();
const machine = ["--vram", "2GiB", "--ram", "4GiB"];
/** Beside the runtime's 512 MiB there is room for a part of the model's 16 MiB. How far from the best the answer is takes a proof of seconds. */
const tight = [...machine, "--budget", "cuda:0=528MiB", "--solver", "greedy"];

async function planned(...args: readonly string[]): Promise<OffloadPlan> {
  const { exitCode, stdout, stderr } = await runHere("plan", embeddedModel, ...args, "--json");
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  return parsePlan(stdout);
}

async function said(...args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runHere("plan", ...args);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  return stdout;
}

const deviceOf = ({ units }: OffloadPlan, id: string) => units.filter((unit) => unit.id === id).map(({ device }) => device);
const usedBytes = ({ bytes }: OffloadPlan, device: string) => Object.values(bytes![device]!).reduce((sum, count) => sum + count, 0);

describe("plan", () => {
  it("says in a few lines whether it fits, what lies where, how fast, what limits and what to try", async () => {
    const text = await said(embeddedModel, ...tight, "--context", "128");
    const lines = text.trimEnd().split("\n");
    expect(lines.length).toBeLessThanOrEqual(20);
    for (const row of [
      /^model +stories15M, llama, Q8_0, 6 layers, 15\.4 MiB of weights$/m,
      /^machine +GPU with 2 GiB, 4 GiB of memory$/m,
      /^memory for +128 tokens of context, 1 request at once, 256 tokens a step/m,
      /^fits +yes, to the byte$/m,
      /^cuda:0 +\S/m,
      /^ +\d+\.\d MiB of 528\.0 MiB that it may take: context 512\.0 MiB, /m,
      /^cpu:0 +\S/m,
      /^predicted +first token of a prompt of 86 after \S+ m?s, then \d+ tok\/s$/m,
      /^decode +plan \d+.* whole-layer \d+.* tok\/s at depth 128$/m,
      /^limit +the GPU's memory: \d+\.\d MiB lie on the CPU; cuda:0 has .* left$/m,
      /^solver +\S+, (optimal|feasible): no placement is predicted more than \d+(\.\d+)? % faster$/m,
      /^next +\S/m,
    ])
      expect(text).toMatch(row);
  });

  it("keeps a table that embedding and head share on one device, with room for it to the byte", async () => {
    const machine = ["--vram", "2GiB", "--ram", "4GiB"] as const;
    const byteLength = usedBytes(await planned(...machine), "cuda:0");
    const tightest = await planned(...machine, "--budget", `cuda:0=${byteLength}B`);
    expect(Object.keys(tightest.devices)).toEqual(["cuda:0"]);
    expect(usedBytes(tightest, "cuda:0")).toBe(byteLength);
  });

  it("gives the plan itself as JSON, within every budget", async () => {
    const plan = await planned(...tight);
    expect(plan).toMatchObject({
      model: expect.stringMatching(/^[0-9a-f]{64}$/),
      summary: { name: "stories15M" },
      settings: { contextLength: 256, maxSequences: 1, maxBatchTokens: 256, kvCacheTokens: 256 },
      devices: { "cuda:0": { backend: "cuda", budgetBytes: 528 * 2 ** 20 }, "cpu:0": { backend: "cpu" } },
    });
    expect(usedBytes(plan, "cuda:0")).toBeLessThanOrEqual(528 * 2 ** 20);
    expect(new Set(plan.units.map(({ device }) => device))).toEqual(new Set(["cuda:0", "cpu:0"]));
    expect(plan.units.every(({ reason }) => reason !== undefined)).toBe(true);
  });

  it.each([
    ["--context", ["--context", "64"], { settings: { contextLength: 64 } }],
    ["--sequences", ["--sequences", "3"], { settings: { maxSequences: 3, kvCacheTokens: 768 } }],
    ["--batch-tokens", ["--batch-tokens", "32"], { settings: { maxBatchTokens: 32 } }],
    ["--kv-type", ["--kv-type", "f32"], { settings: { keyCacheDType: "f32", valueCacheDType: "f32" } }],
    ["--kv-type-k and -v", ["--kv-type-k", "f32", "--kv-type-v", "f16"], { settings: { keyCacheDType: "f32", valueCacheDType: "f16" } }],
    ["--kv-type max", ["--kv-type", "max"], { settings: { keyCacheDType: "f32", valueCacheDType: "f32" } }],
    ["--kv-budget in tokens", ["--kv-budget", "tokens:128"], { settings: { contextLength: 128, kvCacheTokens: 128 } }],
    ["--kv-budget in bytes", ["--kv-budget", "864KiB"], { settings: { contextLength: 128, kvCacheTokens: 128 } }],
    [
      "the workload",
      ["--prompt-tokens", "10", "--output-tokens", "20", "--depth", "30", "--batch", "2"],
      { workload: { promptTokens: 10, outputTokens: 20, contextDepth: 30, batch: 2 }, settings: { maxSequences: 2 } },
    ],
    ["--reserve", ["--reserve", "cpu:0=3GiB"], { devices: { "cpu:0": { reserveBytes: 3 * 2 ** 30 } } }],
    ["--strategy", ["--strategy", "whole-layer"], { solver: { name: "whole-layer" } }],
    ["--strategy autosplit", ["--strategy", "autosplit", "--budget", "cpu:0=1GiB"], { solver: { name: "autosplit" } }],
    ["--solver", ["--solver", "exact"], { version: 1 }],
    ["--cpu-experts", ["--cpu-experts"], { version: 1 }],
    ["--machine, a preset", ["--machine", "rtx3060+ddr4-3200"], { machine: { name: expect.stringContaining("rtx3060") } }],
  ] as const)("takes %s", async (name, args, expected) => {
    const beside = name.includes("preset") ? [] : /autosplit|solver/.test(name) ? machine : tight;
    expect(await planned(...beside, ...args)).toMatchObject(expected);
  });

  it("keeps pins and limits, and solves the rest", async () => {
    const pinned = await planned(...machine, "--pin", "blk.(0|1).attn=cpu:0", "--pin", "head=cpu:0");
    for (const id of ["blk.0.attention", "blk.1.attention", "head"]) expect(deviceOf(pinned, id)).toEqual(["cpu:0"]);
    expect(deviceOf(pinned, "blk.4.attention")).toEqual(["cuda:0"]);
    const limited = await planned(...machine, "--max-gpu-layers", "2");
    for (const layer of [0, 1, 2, 3]) expect(deviceOf(limited, `blk.${layer}.feed-forward`)).toEqual(["cpu:0"]);
    expect(limited.units.some(({ device }) => device === "cuda:0")).toBe(true);
  });

  it("finds the longest context that fits: a token more does not", async () => {
    const long = inFolder("long.gguf");
    writeFileSync(long, tinyModel({ metadata: { "llama.context_length": { type: "u32", value: 16384 } } }));
    const args = [long, "--vram", "0B", "--ram", "4GiB", "--budget", "cpu:0=2MiB"];
    const text = await said(...args, "--context", "max");
    const contextLength = Number(/^longest context that fits: (\d+) tokens$/m.exec(text)![1]);
    expect(contextLength).toBeGreaterThan(1024);
    const plan: OffloadPlan = JSON.parse(await said(...args, "--context", String(contextLength), "--json"));
    expect(usedBytes(plan, "cpu:0")).toBeLessThanOrEqual(2 * 2 ** 20);
    const refused = await runHere("plan", ...args, "--context", String(contextLength + 1));
    expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(`use --context ${contextLength}, which fits`) });
  });

  it("turns a fraction into tokens by the meaning of its name", async () => {
    const tokens = async (budget: string) =>
      (await planned(...machine, "--kv-budget", budget, "--context", "256")).settings!.kvCacheTokens!;
    const [total, vllm] = [await tokens("total:0.1"), await tokens("vllm:0.9")];
    const bytesPerToken = 6 * 2 * 288 * 2;
    expect(total).toBe(Math.floor((2 * 2 ** 30 * 0.1) / bytesPerToken / 32) * 32);
    expect(vllm).toBeGreaterThan(total);
  });

  it("reads a profile, and takes other sizes of memory for it", async () => {
    const path = inFolder("machine.json");
    writeFileSync(path, JSON.stringify(machineFromPreset("rtx4090+ddr5-6000")));
    expect((await planned("--machine", path)).devices["cuda:0"]!.budgetBytes).toBe(24 * 2 ** 30);
    expect((await planned("--machine", path, "--vram", "3GiB", "--ram", "9GiB")).devices["cuda:0"]!.budgetBytes).toBe(3 * 2 ** 30);
  });
});

it("plan reads no more of an address than the header", async () => {
  const path = inFolder("served.gguf");
  // Behind the header lie mebibytes of which nothing is asked for.
  const bytes = Buffer.concat([tinyModel(), Buffer.alloc(2 ** 24)]);
  writeFileSync(path, bytes);
  let served = 0;
  const server = createServer((request, response) => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "bytes=0-0")!.map(Number) as [number, number, number];
    const part = bytes.subarray(first, last + 1);
    served += part.length;
    response.writeHead(206, {
      "content-range": `bytes ${first}-${first + part.length - 1}/${bytes.length}`,
      "content-length": part.length,
    });
    response.end(part);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/served.gguf`;
    const [remote, local] = [await said(url, ...machine, "--json"), await said(path, ...machine, "--json")];
    expect(JSON.parse(remote).units).toEqual(JSON.parse(local).units);
    expect(served).toBeLessThan(bytes.length / 4);
  } finally {
    server.close();
  }
});

describe("questions to plan", () => {
  it("--curve: speed over sizes of the GPU's memory, which never falls", async () => {
    const args = [embeddedModel, ...machine, "--curve", "--curve-sizes", "516MiB,640MiB,2GiB"];
    const { device, points } = JSON.parse(await said(...args, "--json"));
    expect(device).toBe("cuda:0");
    expect(points.map(({ bytes }: { bytes: number }) => bytes)).toEqual([516, 640, 2048].map((mebibytes) => mebibytes * 2 ** 20));
    const speeds = points.map(({ tokensPerSecond }: { tokensPerSecond: number }) => tokensPerSecond);
    expect(speeds).toEqual([...speeds].sort((a, b) => a - b));
    expect(speeds.at(-1)).toBeGreaterThan(speeds[0]);
    expect(await said(...args)).toMatch(/^ +cuda:0 +first token +tok\/s\n516\.0 MiB .*#\n640\.0 MiB .*#{40}\n {2}2\.0 GiB .*#{40}\n$/);
    expect((await said(embeddedModel, ...machine, "--curve")).split("\n")).toHaveLength(10);
  });

  it("--min-tokens-per-second and --max-ttft: the least memory that is enough", async () => {
    const args = [embeddedModel, ...machine, "--min-tokens-per-second", "2500", "--max-ttft", "500ms"];
    const { bytes, tokensPerSecond, plan } = JSON.parse(await said(...args, "--json"));
    expect(tokensPerSecond).toBeGreaterThanOrEqual(2500);
    expect(bytes).toBeLessThan(2 ** 30);
    expect(parsePlan(plan).devices["cuda:0"]!.budgetBytes).toBe(bytes);
  });

  it("--choose: the file with the most bits that fits and is fast enough", async () => {
    const other = inFolder("tiny.gguf");
    writeFileSync(other, tinyModel());
    const answer = JSON.parse(await said(embeddedModel, other, ...machine, "--choose", "--json"));
    expect(answer.choices.map(({ model, fits }: { model: string; fits: boolean }) => [model, fits])).toEqual([
      [other, true],
      [embeddedModel, true],
    ]);
    expect(answer.recommended).toBe(other);
    expect(parsePlan(answer.plan).summary!.name).toBe("tiny");
    const text = await said(embeddedModel, other, ...machine, "--choose");
    expect(text).toMatch(/^\* +.*tiny\.gguf +f32 +32\.0 /m);
    expect(text).toContain(answer.explanation);
  });

  it("--together: each model within its claim, whatever the order", async () => {
    const other = inFolder("other.gguf");
    writeFileSync(other, tinyModel());
    const claims = ["--claim", "other=514MiB", "--claim", "stories15M-q8_0=30%"];
    const both = JSON.parse(await said(embeddedModel, other, ...machine, "--together", ...claims, "--json"));
    const turned = JSON.parse(await said(other, embeddedModel, ...machine, "--together", ...claims, "--json"));
    expect(turned.plans).toEqual(both.plans);
    expect(parsePlan(both.plans.other).devices["cuda:0"]!.budgetBytes).toBe(514 * 2 ** 20);
    expect(await said(embeddedModel, other, ...machine, "--together")).toMatch(/^stories15M-q8_0\nmodel [\s\S]*\n\nother\nmodel /);
  });

  it("--why, --explain and --units say it in words and tables", async () => {
    expect(await said(embeddedModel, ...machine, "--why")).toMatch(/MiB of it \(\d+ %\) is /);
    const explained = await said(embeddedModel, ...machine, "--explain");
    expect(explained).toContain("predicted tokens a second");
    expect(explained).not.toContain("\u001b");
    expect(await said(embeddedModel, ...machine, "--units")).toMatch(/^blk\.3\.feed-forward +689\.6 KiB +q8_0, f32 +768 in blocks of 32$/m);
    expect(JSON.parse(await said(embeddedModel, ...machine, "--units", "--json"))).toHaveLength(14);
  });

  it("--intermediates: all that lives between commands, within the arena that the plan books", async () => {
    const listed = JSON.parse(await said(embeddedModel, ...tight, "--intermediates", "--json"));
    const plan = await planned(...tight);
    for (const [device, { activations }] of Object.entries(plan.bytes!)) {
      const inArena = listed.filter((one: { device: string; region: string }) => one.device === device && one.region === "arena");
      const end = Math.max(
        ...inArena.map(({ byteOffset, byteLength }: { byteOffset: number; byteLength: number }) => byteOffset + byteLength),
      );
      expect(inArena.length).toBeGreaterThan(5);
      expect(end).toBeLessThanOrEqual(activations!);
      expect(end).toBeGreaterThan(activations! - 4096);
    }
    const text = await said(embeddedModel, ...tight, "--intermediates");
    expect(text).toMatch(/^device +region +bytes +offset +first use +last use +name$/m);
    expect(text).toMatch(/^cpu:0 arena: \d+ of .* together lie in /m);
  });

  it("--svg, --out and --compare: files that show, load back and differ", async () => {
    const [first, second, svg] = [inFolder("a.json"), inFolder("b.json"), inFolder("a.svg")];
    const written = await runHere("plan", embeddedModel, ...machine, "--out", first, "--svg", svg);
    expect(written.stderr).toBe(`note: written to ${first}\nnote: written to ${svg}\n`);
    expect(readFileSync(svg, "utf8")).toMatch(/^<svg /);
    await runHere("plan", embeddedModel, ...tight, "--context", "128", "--out", second);
    expect(parsePlan(readFileSync(second, "utf8")).settings!.contextLength).toBe(128);
    const text = await said("--compare", first, second);
    expect(text).toMatch(/contextLength +256 +128/);
    const { moved, fields } = JSON.parse(await said("--compare", first, second, "--json"));
    expect(moved.length).toBeGreaterThan(0);
    expect(fields).toContainEqual({ name: "settings.contextLength", before: 256, after: 128 });
    expect(await said("--compare", first, first)).toBe("The plans are the same.\n");
    expect(await said("--compare", splitPlan, first)).toMatch(/\n/);
  });

  it("--measure: tries plans on this machine, and keeps the fastest as one that opens", async () => {
    const tiny = inFolder("measured.gguf");
    const out = inFolder("measured.json");
    writeFileSync(tiny, tinyModel());
    const args = [tiny, "--measure", "--prompt-tokens", "8", "--output-tokens", "4", "--out", out];
    const { exitCode, stdout } = await runHere("plan", ...args, "--json");
    expect(exitCode).toBe(0);
    const { measurements, measured, plan } = JSON.parse(stdout);
    expect(measured).toMatchObject({ promptTokens: 8, outputTokens: 4 });
    expect(measurements.length).toBeGreaterThan(0);
    for (const { decodeTokensPerSecond, prefillTokensPerSecond } of measurements)
      expect(Math.min(decodeTokensPerSecond, prefillTokensPerSecond)).toBeGreaterThan(0);
    expect(JSON.parse(readFileSync(out, "utf8"))).toEqual(plan);
    await using model = await open(tiny, { plan: out });
    expect(model.identity).toBe(plan.model);
  });
});
