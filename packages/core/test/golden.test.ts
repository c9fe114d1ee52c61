import { cpuBackendAvailability, createCpuBackend, supportedIsas } from "@thermocline/cpu-kernels";
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import { openGguf } from "@thermocline/loader-gguf";
import { type Backend, createMemoryLedger } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createEngine } from "../src/index.js";
import {
  compareStep,
  createComparison,
  type GoldenComparison,
  hasSharedData,
  judgeChoices,
  modelPath,
  readGolden,
  teacherForce,
} from "./support/golden.js";
import { splitDevices, splitPlacement } from "./support/split-placement.js";
import { stories15mPath } from "./support/stories15m.js";

const converted = new Map<string, string>();
if (hasSharedData) {
  for (const dtype of ["f32", "f16"] as const) {
    const path = await stories15mPath(dtype);
    if (path !== undefined) converted.set(`stories15M-${dtype}`, path);
  }
}
const ifConverted = (name: string) => (converted.has(name) ? [name] : []);
const pathOf = (name: string) => converted.get(name) ?? modelPath(name);

/** A model of random weights for every type, and real ones where there are any. */
const weightTypes = ["bf16", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs", "iq3_s", "tq1_0", "tq2_0"];
const filesByWeightType: Record<string, readonly string[]> = {
  f32: ["mini-256-f32", "stories260K-f32", ...ifConverted("stories15M-f32")],
  f16: ["mini-256-f16", ...ifConverted("stories15M-f16")],
  q8_0: ["mini-256-q8_0", "stories15M-q8_0"],
  q4_0: ["mini-256-q4_0", "stories15M-q4_0"],
  ...Object.fromEntries(weightTypes.map((type) => [type, [`mini-256-${type}`]])),
};
const architectureFiles = [
  "arch-llama-gqa",
  "arch-llama-tied-headdim",
  "arch-llama-rope-linear",
  "arch-llama-rope-yarn",
  "arch-llama3-rope",
  "arch-mixtral",
  "arch-qwen2",
  "arch-qwen3",
  "arch-qwen3moe",
];
/** More than the golden files report, so that an id near the end of their list is among ours. */
const numLogprobs = 40;

/** On one backend, or split over two. */
async function compare(
  files: readonly string[],
  backends: readonly Backend[],
  maxSteps = Number.POSITIVE_INFINITY,
): Promise<GoldenComparison> {
  const comparison = createComparison();
  for (const file of files) {
    await using source = await openGguf(pathOf(file));
    const ledger = createMemoryLedger(Object.fromEntries(backends.map(({ device }) => [device.id, 2 ** 33])));
    const placement = backends.length > 1 ? { placement: splitPlacement(source) } : {};
    await using engine = await createEngine({ source, backends, ledger, maxLogprobs: numLogprobs, ...placement });
    for (const whole of readGolden(file)) {
      const golden = { ...whole, greedyTokenIds: whole.greedyTokenIds.slice(0, maxSteps) };
      const steps = await teacherForce(engine, golden, numLogprobs);
      expect(steps.length).toBe(golden.greedyTokenIds.length);
      steps.forEach((step, index) => {
        compareStep(comparison, step, golden.steps[index]!, golden.exactLogprobs?.[index]);
      });
    }
  }
  return comparison;
}

const native = cpuBackendAvailability();
if (!native.available) console.warn(`golden tests of the native kernels skipped: ${native.reasons.join("; ")}`);

/** The bars that a backend's own roundings must pass: the golden engine's distance from the exact figures is the measure. */
function expectAsNear(title: string, comparison: GoldenComparison): void {
  const { ours, theirs, missing, choices } = comparison;
  const { wrong, nearTies } = judgeChoices(comparison, 1.5 * theirs.largest);
  console.log(`${title}: ours ${ours}; theirs ${theirs}; ${nearTies} near ties in ${choices.length} steps`);
  expect(missing).toBe(0);
  expect(ours.mean).toBeLessThanOrEqual(1.1 * theirs.mean);
  expect(ours.largest).toBeLessThanOrEqual(1.5 * theirs.largest);
  expect(wrong).toBe(0);
  expect(nearTies).toBeLessThan(choices.length);
}

describe.runIf(hasSharedData && native.available).each(native.available ? supportedIsas() : [])("goldens on %s", (isa) => {
  it.each(Object.keys(filesByWeightType))("%s: is as near to the exact figures as the golden engine", async (weightType) => {
    await using backend = createCpuBackend({ isa, threads: 2 });
    expectAsNear(`${isa} ${weightType}`, await compare(filesByWeightType[weightType]!, [backend]));
  });

  it.each(architectureFiles)("%s: stays within 0.02 of the golden engine in the mean", async (file) => {
    await using backend = createCpuBackend({ isa, threads: 2 });
    const { between, missing } = await compare([file], [backend]);
    console.log(`${isa} ${file}: ${between}`);
    expect(missing).toBe(0);
    expect(between.mean).toBeLessThanOrEqual(0.02);
  });
});

describe.runIf(hasSharedData && native.available)("goldens split over two devices", () => {
  it.each(Object.keys(filesByWeightType))("%s: is as near to the exact figures as the golden engine", async (weightType) => {
    await using first = createCpuBackend({ id: splitDevices[0], threads: 1 });
    await using second = createCpuBackend({ id: splitDevices[1], threads: 1 });
    expectAsNear(`split ${weightType}`, await compare(filesByWeightType[weightType]!, [first, second]));
  });

  it.each(architectureFiles)("%s: stays within 0.02 of the golden engine in the mean", async (file) => {
    await using first = createCpuBackend({ id: splitDevices[0], threads: 1 });
    await using second = createCpuBackend({ id: splitDevices[1], threads: 1 });
    const { between, missing } = await compare([file], [first, second]);
    console.log(`split ${file}: ${between}`);
    expect(missing).toBe(0);
    expect(between.mean).toBeLessThanOrEqual(0.02);
  });
});

describe.runIf(hasSharedData)("goldens on the reference", () => {
  // Both sides store float32 between ops. Values up to about 2^5, rounded by 2^-24 of themselves at each of some 40 stores on the way
  // to a logit, move it by at most 40 · 2^-19.
  const float32Rounding = 40 * 2 ** -19;

  it.each(Object.values(filesByWeightType).flat())("%s: meets the exact figures to float32 rounding", async (file) => {
    await using backend = createReferenceBackend();
    // The oracle needs a tenth of a second for a token of the larger model: one of its files whole, the beginnings of the others.
    const maxSteps = file.startsWith("stories15M") && file !== "stories15M-q8_0" ? 6 : undefined;
    const comparison = await compare([file], [backend], maxSteps);
    const { ours, missing } = comparison;
    console.log(`reference ${file}: ${ours}`);
    expect(missing).toBe(0);
    expect(ours.largest).toBeLessThanOrEqual(float32Rounding);
    expect(judgeChoices(comparison, float32Rounding).wrong).toBe(0);
  });

  it.each(architectureFiles)("%s: stays within 0.02 of the golden engine in the mean", async (file) => {
    await using backend = createReferenceBackend();
    const { between } = await compare([file], [backend]);
    console.log(`reference ${file}: ${between}`);
    expect(between.mean).toBeLessThanOrEqual(0.02);
  });
});
