/** Layers with a sliding window keep what a later token can see and no more: in blocks, in bytes, and without a bit of difference. */
import { cpuBackendAvailability, createCpuBackend } from "@thermocline/cpu-kernels";
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import type { Backend, GenerateRequest, KvCacheStatistics } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import type { EngineOptions } from "../src/index.js";
import { type Completion, complete, createRandom, createTestEngine, greedy, ledgerFor, shuffled } from "./support/embedded-model.js";
import { openRandomModel, type RandomModelOptions, randomPrompt } from "./support/random-model.js";

const native = cpuBackendAvailability();
if (!native.available) console.warn(`sliding window tests run on the reference: ${native.reasons.join("; ")}`);
const createBackend = (): Backend => (native.available ? createCpuBackend({ threads: 2 }) : createReferenceBackend());

const blockSize = 32;
const slidingWindow = 32;
const contextLength = 1024;
const numLayers = 7;
/** Of six layers the last sees everything. */
const globalLayers = [5];
const open = (options: RandomModelOptions = {}) =>
  openRandomModel("gemma3", { ...options, shape: { contextLength, numLayers, ...options.shape } });
/** The same weights without a window anywhere. */
const withoutWindow: RandomModelOptions = { keys: { "attention.sliding_window": undefined } };

const bitsOf = (completions: readonly Completion[]) =>
  completions.map(({ events }) =>
    events.flatMap((event) => (event.type === "text-delta" ? [{ tokenIds: event.tokenIds, logprobs: event.logprobs }] : [])),
  );
const bytesOf = (caches: readonly KvCacheStatistics[]) =>
  caches.reduce((sum, { blockByteLength, numBlocks }) => sum + blockByteLength * numBlocks, 0);

/** Bytes that the ledger books for keys and values, and what the engine says of them. */
async function bookedBytes(model: RandomModelOptions, options: Partial<EngineOptions>) {
  await using backend = createReferenceBackend();
  const ledger = ledgerFor(backend);
  await using source = await open(model);
  await using engine = await createTestEngine(source, [backend], { ledger, contextLength, ...options });
  const byteLengths = Object.fromEntries(
    ledger.report().flatMap(({ class: memoryClass, label, byteLength }) => (memoryClass === "kv-cache" ? [[label, byteLength]] : [])),
  );
  const byteLength = Object.values(byteLengths).reduce((sum, bytes) => sum + bytes, 0);
  const { kvCaches } = engine.statistics();
  expect(bytesOf(kvCaches)).toBe(byteLength);
  return { byteLength, byteLengths, kvCaches };
}

describe("memory for keys and values", () => {
  it("falls to the window's blocks in the layers that have one", async () => {
    const maxBatchTokens = 64;
    const whole = await bookedBytes(withoutWindow, { maxBatchTokens });
    const windowed = await bookedBytes({}, { maxBatchTokens });
    expect(whole.kvCaches.map(({ numBlocks }) => numBlocks)).toEqual([contextLength / blockSize]);
    // What the step's first token sees, the step, and one block for what does not begin at a block's beginning.
    const windowBlocks = (slidingWindow + maxBatchTokens) / blockSize + 1;
    expect(windowed.kvCaches).toMatchObject([
      { layers: globalLayers, numBlocks: contextLength / blockSize },
      { slidingWindow, layers: [0, 1, 2, 3, 4, 6], numBlocks: windowBlocks },
    ]);
    for (let layer = 0; layer < numLayers; layer++) {
      const share = globalLayers.includes(layer) ? 1 : windowBlocks / (contextLength / blockSize);
      expect(windowed.byteLengths[`layer ${layer}`]).toBe(whole.byteLengths[`layer ${layer}`]! * share);
    }
    console.log(
      `gemma3 of ${numLayers} layers, context ${contextLength}, window ${slidingWindow}: keys and values take ` +
        `${windowed.byteLength} bytes, without the window ${whole.byteLength}`,
    );
    expect(windowed.byteLength).toBeLessThan(0.3 * whole.byteLength);
  });

  it("is never more than without the window, and enough for each of many sequences", async () => {
    const options = { maxSequences: 4, kvCacheTokens: 1024 + 64 };
    const whole = await bookedBytes(withoutWindow, options);
    const windowed = await bookedBytes({}, options);
    expect(windowed.kvCaches.every(({ numBlocks }) => numBlocks <= whole.kvCaches[0]!.numBlocks)).toBe(true);
    expect(windowed.byteLength).toBeLessThanOrEqual(whole.byteLength);
  });
});

describe("a window", () => {
  const requests = [3, 60, 150, 41].map(
    (length, index): GenerateRequest => ({
      prompt: randomPrompt(length, index),
      sampling: index % 2 === 0 ? greedy : { temperature: 1, seed: index },
      maxTokens: 50,
      ignoreEos: true,
      logprobs: 3,
    }),
  );

  it("gives its blocks back as it passes, while layers that see everything keep theirs", async () => {
    await using backend = createBackend();
    await using source = await open();
    await using engine = await createTestEngine(source, [backend], { contextLength, maxBatchTokens: 32 });
    const held: [whole: number, windowed: number][] = [];
    for await (const event of engine.generate({ prompt: randomPrompt(100, 9), maxTokens: 60, ignoreEos: true })) {
      if (event.type === "end") continue;
      const [whole, windowed] = engine.statistics().kvCaches;
      held.push([whole!.blocksInUse, windowed!.blocksInUse]);
    }
    expect(Math.max(...held.map(([whole]) => whole))).toBe(Math.ceil(160 / blockSize));
    // A window of one block's length lies in at most two blocks.
    for (const [, windowed] of held) expect(windowed).toBeLessThanOrEqual(slidingWindow / blockSize + 1);
    expect(engine.statistics().kvCaches.map(({ blocksInUse }) => blocksInUse)).toEqual([0, 0]);
  });

  it("changes no bit by how prompts are cut, who else is served, and which blocks come again", async () => {
    await using backend = createBackend();
    const random = createRandom(6);
    const serve = async (together: boolean, options: Partial<EngineOptions>) => {
      await using source = await open();
      await using engine = await createTestEngine(source, [backend], { contextLength: 256, ...options });
      if (together) return bitsOf(await Promise.all(requests.map((request) => complete(engine, request))));
      const completions: Completion[] = [];
      for (const request of requests) completions.push(await complete(engine, request));
      return bitsOf(completions);
    };
    const whole = await serve(false, { maxBatchTokens: 256, prefixCache: false });
    const diagnostics = {
      poisonKvCaches: true,
      poisonDeadActivations: true,
      blockOrder: (numBlocks: number) => shuffled(numBlocks, random),
    };
    expect(await serve(false, { maxBatchTokens: 8, diagnostics })).toEqual(whole);
    expect(await serve(true, { maxSequences: 4, maxBatchTokens: 24, diagnostics })).toEqual(whole);
    // Blocks run out and sequences are computed again.
    expect(await serve(true, { maxSequences: 4, maxBatchTokens: 40, kvCacheTokens: 256, diagnostics })).toEqual(whole);
  });
});
