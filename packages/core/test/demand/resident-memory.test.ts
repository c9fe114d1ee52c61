/**
 * Plans against the operating system's own count, in a process of their own: one function could be wrong in a plan and in an allocation
 * alike, and what is allocated beside the ledger shows here alone.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { createCpuTraits } from "@thermocline/cpu-kernels/traits";
import { byteLengthOf, type DemandSettings, type DType, dtypes } from "@thermocline/spec";
import { afterAll, describe, expect, it } from "vitest";
import { canMeasure, measureInProcess } from "../large-shape/large-shape-model.js";
import { randomBertContent } from "../support/random-bert.js";
import { type RandomModelName, type RandomModelOptions, randomModelContent } from "../support/random-model.js";
import { type ModelContent, SparseModels } from "../support/sparse-model.js";

interface Case {
  readonly name: string;
  readonly content: ModelContent;
  readonly settings: DemandSettings;
}
interface Growth {
  readonly plannedBytes: number;
  readonly grownBytes: number;
  readonly numResults: number;
}

const mebibyte = 2 ** 20;
/** A forgotten copy of these would be thrice what the plan may be off by. */
const weightBytes = 28 * mebibyte;
const hiddenSize = 1024;
const numLayers = 2;
const settings: DemandSettings = { contextLength: 32, maxBatchTokens: 32 };

const traits = createCpuTraits({ threads: 2 });
const weightDTypes = (Object.keys(dtypes) as DType[]).filter((dtype) => traits.supports("matmul", dtype));

/** Sizes that make about `weightBytes` of a dtype, most of it neurons. */
function modelOf(name: RandomModelName, dtype: DType, options: Partial<RandomModelOptions> = {}): Case {
  const bytesPerNeuron = 3 * byteLengthOf(dtype, hiddenSize);
  const feedForwardLength = Math.max(1, Math.round(weightBytes / numLayers / bytesPerNeuron / 256)) * 256;
  const experts = name.includes("moe")
    ? { experts: { count: 8, used: 2, feedForwardLength: Math.ceil(feedForwardLength / 8 / 256) * 256 } }
    : {};
  const shape = { numLayers, hiddenSize, headDim: 64, numHeads: 4, numKvHeads: 4, feedForwardLength, ...experts, ...options.shape };
  return { name: `${name} of ${dtype}`, content: randomModelContent(name, { dtype, ...options, shape }), settings };
}

/** Keys and values far beyond the weights. */
function cacheOf(dtype: DType, contextLength: number): Case {
  const shape = { numLayers: 1, hiddenSize: 256, headDim: 128, numHeads: 96, numKvHeads: 96, feedForwardLength: 256, contextLength };
  return {
    name: `keys and values of ${dtype}`,
    content: randomModelContent("llama", { dtype: "q8_0", shape }),
    settings: { contextLength, maxBatchTokens: 32, keyCacheDType: dtype, valueCacheDType: dtype },
  };
}

const bert: Case = {
  name: "bert of f32",
  content: randomBertContent({ seed: 1, pooling: "mean", shape: { hiddenSize, feedForwardLength: 1024 } }),
  settings: { contextLength: 128, maxBatchTokens: 512, maxSequences: 4 },
};

const cases: readonly Case[] = [
  ...weightDTypes.map((dtype) => modelOf("llama", dtype)),
  ...(["qwen2", "qwen3", "gemma2", "gemma3", "phi3"] as const).map((name) => modelOf(name, "q4_0")),
  modelOf("qwen3moe", "q4_k"),
  bert,
  cacheOf("f32", 256),
  cacheOf("f16", 512),
  cacheOf("q8_0", 512),
  cacheOf("q4_0", 1024),
];

const countsAnonymousMemory = existsSync("/proc/self/status") && /^RssAnon:/m.test(readFileSync("/proc/self/status", "utf8"));
if (!countsAnonymousMemory) console.warn("resident memory: skipped, this system does not count anonymous memory");

describe.runIf(countsAnonymousMemory && canMeasure("resident memory"))("anonymous memory grows as planned, to 2 % and 8 MiB,", () => {
  const models = new SparseModels();
  const listed = models.write("none", { metadata: [], tensors: [] }).replace(/none\.gguf$/, "cases.json");
  const written = cases.map(({ name, content, settings: { ...own } }) => ({
    path: models.write(name.replaceAll(" ", "-"), content),
    settings: own,
  }));
  writeFileSync(listed, JSON.stringify(written));
  let measured: Promise<readonly Growth[]> | undefined;
  const measure = () => {
    measured ??= measureInProcess<readonly Growth[]>(path.join("..", "demand", "resident-memory.mjs"), [listed], ["--expose-gc"]);
    return measured;
  };
  afterAll(() => models[Symbol.dispose]());

  it.each(cases.map(({ name }, index) => ({ name, index })))(
    "for $name",
    async ({ index }) => {
      const { plannedBytes, grownBytes, numResults } = (await measure())[index]!;
      expect(numResults).toBeGreaterThan(1);
      expect(plannedBytes).toBeGreaterThan(weightBytes);
      expect(Math.abs(grownBytes - plannedBytes)).toBeLessThan(0.02 * plannedBytes + 8 * mebibyte);
    },
    120_000,
  );

  it("with what is left told", async () => {
    const rests = (await measure()).map(({ plannedBytes, grownBytes }, index) => ({
      name: cases[index]!.name,
      rest: grownBytes - plannedBytes,
    }));
    const [most] = rests.sort((a, b) => Math.abs(b.rest) - Math.abs(a.rest));
    console.log(`resident memory: at most ${(most!.rest / mebibyte).toFixed(1)} MiB beside the plan, for ${most!.name}`);
    expect(rests.length).toBe(cases.length);
  });
});
