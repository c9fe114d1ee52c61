/** Kernels are batch-invariant: what is served beside a sequence, how its prompt is cut and where its blocks lie changes no bit. */
import { cpuBackendAvailability, createCpuBackend, supportedIsas } from "@thermocline/cpu-kernels";
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import type { Backend, GenerateRequest, ModelSource } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import type { EngineOptions } from "../src/index.js";
import {
  type Completion,
  complete,
  createRandom,
  createTestEngine,
  greedy,
  openEmbeddedModel,
  shuffled,
} from "./support/embedded-model.js";
import { openRandomModel, type RandomModelName, randomPrompt } from "./support/random-model.js";
import { openTinyModel, tinyPrompt } from "./support/tiny-model.js";

const prompts = [
  "Once upon a time",
  "The big dog",
  "Lily and Tom went to the park and they",
  "One day, a small bird",
  "There was",
  "a",
  "In the sea lived a whale who",
  "Mom said:",
];

interface TestModel {
  readonly open: () => Promise<ModelSource>;
  readonly promptOf: (index: number) => GenerateRequest["prompt"];
}
const embedded: TestModel = { open: openEmbeddedModel, promptOf: (index) => `${prompts[index % prompts.length]}${" very".repeat(index)}` };
// The oracle takes its time, so it gets a smaller model.
const tiny: TestModel = { open: () => openTinyModel(), promptOf: (index) => tinyPrompt(1 + 2 * index, 1 + index) };

const randomModel = (name: RandomModelName): TestModel => ({
  open: () => openRandomModel(name),
  promptOf: (index) => randomPrompt(1 + 5 * index, 1 + index),
});

const requestsOf = ({ promptOf }: TestModel): readonly GenerateRequest[] =>
  Array.from({ length: 16 }, (_, index) => ({
    prompt: promptOf(index),
    maxTokens: 6 + (index % 5) * 4,
    sampling: index % 3 === 0 ? greedy : { temperature: 0.9, topK: 50, seed: index },
    logprobs: 3,
  }));

async function serve(
  model: TestModel,
  backend: Backend,
  together: boolean,
  options: Partial<EngineOptions>,
): Promise<readonly Completion[]> {
  await using source = await model.open();
  await using engine = await createTestEngine(source, [backend], options);
  const requests = requestsOf(model);
  if (together) return await Promise.all(requests.map((request) => complete(engine, request)));
  const completions: Completion[] = [];
  for (const request of requests) completions.push(await complete(engine, request));
  return completions;
}

/** Ids and log-probabilities, every bit of them. */
const bitsOf = (completions: readonly Completion[]) =>
  completions.map(({ events }) =>
    events.flatMap((event) => (event.type === "text-delta" ? [{ tokenIds: event.tokenIds, logprobs: event.logprobs }] : [])),
  );

const native = cpuBackendAvailability();
if (!native.available) console.warn(`batching tests of the native kernels skipped: ${native.reasons.join("; ")}`);
const makers: Record<string, () => Backend> = {
  reference: () => createReferenceBackend(),
  ...Object.fromEntries((native.available ? supportedIsas() : []).map((isa) => [isa, () => createCpuBackend({ isa, threads: 2 })])),
};

describe.each(Object.keys(makers))("sixteen sequences together on %s", (name) => {
  const model = name === "reference" ? tiny : embedded;
  const poisonKvCaches = true;
  const poisonDeadActivations = true;

  it("are bit-equal to the same sixteen alone, with chunks, shuffled blocks and poisoned memory", async () => {
    const order = createRandom(5);
    const diagnostics = { poisonKvCaches, poisonDeadActivations, blockOrder: (numBlocks: number) => shuffled(numBlocks, order) };
    await using backend = makers[name]!();
    const alone = await serve(model, backend, false, {});
    const together = await serve(model, backend, true, { maxSequences: 16, maxBatchTokens: 24, diagnostics });
    expect(bitsOf(together)).toEqual(bitsOf(alone));
    expect(together.every(({ tokenIds }) => tokenIds.length > 0)).toBe(true);
  });

  it("are bit-equal when blocks run out and sequences are computed again", async () => {
    await using backend = makers[name]!();
    const roomy = await serve(model, backend, true, { maxSequences: 16 });
    // Room for two and a half sequences of the longest kind.
    const tight = await serve(model, backend, true, {
      maxSequences: 16,
      kvCacheTokens: 160,
      contextLength: 64,
      diagnostics: { poisonKvCaches, poisonDeadActivations },
    });
    expect(bitsOf(tight)).toEqual(bitsOf(roomy));
  });
});

const variants: Record<string, readonly [RandomModelName, Partial<EngineOptions>]> = {
  "with sliding windows": ["gemma3", {}],
  "with keys in q8_0 and values in q4_0": ["phi3", { keyCacheDType: "q8_0", valueCacheDType: "q4_0" }],
  "with experts": ["mixtral", {}],
};

describe.each(Object.keys(makers).filter((name) => name !== "reference"))("sixteen sequences on %s", (name) => {
  it.each(Object.keys(variants))("%s are bit-equal alone, together, and when blocks run out", async (variant) => {
    const [model, options] = variants[variant]!;
    await using backend = makers[name]!();
    const alone = await serve(randomModel(model), backend, false, { ...options, prefixCache: false });
    const diagnostics = { poisonKvCaches: true, poisonDeadActivations: true };
    const together = await serve(randomModel(model), backend, true, { ...options, maxSequences: 16, maxBatchTokens: 24, diagnostics });
    expect(bitsOf(together)).toEqual(bitsOf(alone));
    const tight = await serve(randomModel(model), backend, true, { ...options, maxSequences: 16, kvCacheTokens: 192, diagnostics });
    expect(bitsOf(tight)).toEqual(bitsOf(alone));
  });
});
