import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { cpuBackendAvailability, createCpuBackend, supportedIsas } from "@thermocline/cpu-kernels";
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import { openGguf } from "@thermocline/loader-gguf";
import type { Backend } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createTestEngine } from "./support/embedded-model.js";
import { compareStep, createComparison, teacherForce } from "./support/golden.js";
import { f32, u32 } from "./support/random-architectures.js";
import { buildRandomModel, type RandomModelName, type RandomModelOptions } from "./support/random-model.js";

/** What `bench/record-goldens.mjs` writes. */
interface PeerGolden {
  readonly model: RandomModelName;
  readonly options: RandomModelOptions;
  readonly sha256: string;
  readonly cases: readonly {
    readonly promptTokenIds: readonly number[];
    readonly forcedTokenIds: readonly number[];
    readonly steps: readonly (readonly (readonly [tokenId: number, logprob: number])[])[];
  }[];
}

const folder = resolve(import.meta.dirname, "goldens");
const goldens = readdirSync(folder)
  .filter((file) => file.endsWith(".json"))
  .map((file) => JSON.parse(readFileSync(resolve(folder, file), "utf8")) as PeerGolden);
/** More than the golden files report, so that an id near the end of their list is among ours. */
const numLogprobs = 40;
/** The goldens' sliding windows are shorter than their longer prompts, and those of this engine begin at whole blocks. */
const contextLength = 256;

const bound = 0.02;

/** `keys` replace those of the recorded model. */
async function compare({ model, options, sha256, cases }: PeerGolden, backend: Backend, keys?: RandomModelOptions["keys"]) {
  const bytes = buildRandomModel(model, { ...options, ...(keys === undefined ? {} : { keys }) });
  if (keys === undefined) expect(createHash("sha256").update(bytes).digest("hex"), "the model is not the recorded one").toBe(sha256);
  await using source = await openGguf(new Blob([bytes]));
  await using engine = await createTestEngine(source, [backend], { contextLength, maxLogprobs: numLogprobs });
  const comparison = createComparison();
  for (const { promptTokenIds, forcedTokenIds, steps } of cases) {
    const ours = await teacherForce(engine, { promptTokenIds, greedyTokenIds: forcedTokenIds, steps }, numLogprobs);
    expect(ours.length).toBe(steps.length);
    ours.forEach((step, index) => {
      compareStep(comparison, step, steps[index]!, undefined);
    });
  }
  return comparison;
}

const native = cpuBackendAvailability();
if (!native.available) console.warn(`peer goldens on the native kernels skipped: ${native.reasons.join("; ")}`);
const backends: readonly (readonly [name: string, create: () => Backend])[] = [
  ["the reference", () => createReferenceBackend()],
  ...(native.available ? supportedIsas() : []).map((isa) => [isa, () => createCpuBackend({ isa, threads: 1 })] as const),
];

describe.each(backends)("llama.cpp's goldens on %s", (name, createBackend) => {
  // The bound that llama.cpp keeps from an exact forward pass on plain weights: it rounds queries, keys and values to f16.
  it.each(goldens)("$model: stays within 0.02 in the mean", async (golden) => {
    await using backend = createBackend();
    const { between, missing } = await compare(golden, backend);
    console.log(`${name} ${golden.model}: ${between}`);
    expect(missing).toBe(0);
    expect(between.mean).toBeLessThanOrEqual(bound);
  });
});

describe("the bound of llama.cpp's goldens", () => {
  it.runIf(native.available).each([
    ["gemma2", "attention.sliding_window", u32(33)],
    ["gemma2", "final_logit_softcapping", f32(6.5)],
    ["gemma3", "attention.sliding_window", u32(33)],
    ["gemma3", "rope.freq_base_swa", f32(20_000)],
    ["gemma3", "rope.scaling.factor", f32(7)],
    ["phi3", "rope.dimension_count", u32(10)],
    ["phi3-longrope", "rope.scaling.attn_factor", f32(1.1)],
    // Short factors in place of the long ones.
    ["phi3-longrope", "rope.scaling.original_context_length", u32(256)],
  ] as const)("is missed by %s with another %s", async (model, key, value) => {
    await using backend = createCpuBackend({ threads: 1 });
    const { between } = await compare(goldens.find((golden) => golden.model === model)!, backend, { [key]: value });
    expect(between.mean).toBeGreaterThan(bound);
  });
});
