/** The logits after each token of a text: as generation sees them, however they are cut into steps, beside whatever else is served. */
import { cpuBackendAvailability, createCpuBackend } from "@thermocline/cpu-kernels";
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import { type Backend, DeviceFaultError, InvalidRequestError, type ScoreRequest } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { type EngineOptions, type LoadedEngine, listOffloadUnits, readModelConfig } from "../src/index.js";
import { complete, createTestEngine, greedy, ledgerFor } from "./support/embedded-model.js";
import { openRandomModel, randomPrompt } from "./support/random-model.js";

const native = cpuBackendAvailability();
if (!native.available) console.warn(`scoring tests run on the reference alone: ${native.reasons.join("; ")}`);
const createBackend = (id = "0"): Backend =>
  native.available ? createCpuBackend({ id: `cpu:${id}`, threads: 2 }) : createReferenceBackend({ id: `reference:${id}` });

const text = randomPrompt(75, 2);
const vocabSize = 256;
type Rows = readonly (readonly [position: number, logits: Float32Array])[];

async function scoreAll(engine: LoadedEngine, request: ScoreRequest, signal?: AbortSignal): Promise<Rows> {
  const rows: [number, Float32Array][] = [];
  for await (const { position, logits } of engine.score(request, signal === undefined ? {} : { signal })) {
    expect(logits.length).toBe(vocabSize);
    rows.push([position, logits.slice()]);
  }
  return rows;
}

async function scoreWith(backends: readonly Backend[], request: ScoreRequest, options: Partial<EngineOptions>): Promise<Rows> {
  await using source = await openRandomModel("gemma2");
  await using engine = await createTestEngine(source, backends, { maxScoredTokens: 64, ...options });
  return await scoreAll(engine, request);
}

/** In double precision. */
function logSoftmax(logits: Float32Array): readonly number[] {
  const largest = logits.reduce((most, logit) => Math.max(most, logit), Number.NEGATIVE_INFINITY);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return Array.from(logits, (logit) => logit - largest - Math.log(sum));
}

describe("scoring", () => {
  it("gives the logits that generation samples from, position by position", async () => {
    await using backend = createBackend();
    await using source = await openRandomModel("gemma2");
    await using engine = await createTestEngine(source, [backend], { maxScoredTokens: 16 });
    const rows = await scoreAll(engine, { tokenIds: text, firstPosition: 9 });
    expect(rows.map(([position]) => position)).toEqual(Array.from({ length: 66 }, (_, index) => 9 + index));
    const forced = { prompt: text.slice(0, 10), forcedTokenIds: text.slice(10), sampling: greedy, logprobs: 5 };
    const { events } = await complete(engine, forced);
    const steps = events.flatMap((event) => (event.type === "text-delta" ? (event.logprobs ?? []) : []));
    expect(steps.length).toBe(65);
    steps.forEach(({ tokenId, top }, step) => {
      const [, logits] = rows[step]!;
      expect(logits.indexOf(logits.reduce((most, logit) => Math.max(most, logit)))).toBe(tokenId);
      const logprobs = logSoftmax(logits);
      // The same logits in double precision: what differs is one rounding to float32, of numbers below 16.
      for (const [id, logprob] of top) expect(Math.abs(logprob - logprobs[id]!)).toBeLessThanOrEqual(2 ** -20);
    });
  });

  it("gives the same bits however the text is cut, and split over two devices", async () => {
    await using backend = createBackend();
    await using other = createBackend("1");
    const whole = await scoreWith([backend], { tokenIds: text }, { maxBatchTokens: 128, maxScoredTokens: 128, prefixCache: false });
    expect(whole.length).toBe(text.length);
    expect(await scoreWith([backend], { tokenIds: text }, { maxScoredTokens: 1 })).toEqual(whole);
    expect(await scoreWith([backend], { tokenIds: text }, { maxBatchTokens: 24, maxScoredTokens: 7 })).toEqual(whole);
    const tail = { tokenIds: Uint32Array.from(text), firstPosition: 70 };
    expect(await scoreWith([backend], tail, { maxBatchTokens: 8 })).toEqual(whole.slice(70));
    await using source = await openRandomModel("gemma2");
    const placement = new Map(
      listOffloadUnits(source, readModelConfig(source)).map(
        ({ id, layer }) => [id, [{ device: (layer % 2 === 0 ? other : backend).device.id }]] as const,
      ),
    );
    expect(await scoreWith([backend, other], { tokenIds: text }, { placement })).toEqual(whole);
  });

  it("runs beside generations without a bit of difference to either, where blocks are short too", async () => {
    await using backend = createBackend();
    const requests = [12, 50, 31].map((length, index) => ({
      prompt: randomPrompt(length, 20 + index),
      sampling: { temperature: 1, seed: index },
      maxTokens: 40,
      ignoreEos: true,
    }));
    const texts = [text, randomPrompt(90, 3)];
    await using source = await openRandomModel("gemma2");
    const aloneOptions = { maxScoredTokens: 64 };
    await using alone = await createTestEngine(source, [backend], aloneOptions);
    const expectedRows: Rows[] = [];
    for (const tokenIds of texts) expectedRows.push(await scoreAll(alone, { tokenIds }));
    const expectedIds: (readonly number[])[] = [];
    for (const request of requests) expectedIds.push((await complete(alone, request)).tokenIds);

    for (const kvCacheTokens of [1024, 128]) {
      await using engine = await createTestEngine(source, [backend], {
        maxSequences: 3,
        maxBatchTokens: 16,
        maxScoredTokens: 5,
        kvCacheTokens,
        diagnostics: { poisonKvCaches: true, poisonDeadActivations: true },
      });
      const [answers, rows] = await Promise.all([
        Promise.all(requests.map((request) => complete(engine, request))),
        Promise.all(texts.map((tokenIds) => scoreAll(engine, { tokenIds }))),
      ]);
      expect(answers.map(({ tokenIds }) => tokenIds)).toEqual(expectedIds);
      expect(rows).toEqual(expectedRows);
      expect(engine.statistics().kvCaches.map(({ blocksInUse }) => blocksInUse)).toEqual([0, 0]);
      expect(engine.statistics().awaits).toBe(engine.statistics().steps);
    }
  });

  it("waits for its reader, and generations do not wait for it", async () => {
    await using backend = createBackend();
    await using source = await openRandomModel("gemma2");
    await using engine = await createTestEngine(source, [backend], { maxScoredTokens: 8 });
    const reader = engine.score({ tokenIds: text })[Symbol.asyncIterator]();
    const first = (await reader.next()).value;
    const kept = first.logits.slice();
    // The text's blocks are all that there is; a generation takes them, and gives them back.
    expect(
      (await complete(engine, { prompt: randomPrompt(100, 5), sampling: greedy, maxTokens: 20, ignoreEos: true })).tokenIds.length,
    ).toBe(20);
    expect(first.logits).toEqual(kept);
    const positions = [first.position];
    for (let next = await reader.next(); !next.done; next = await reader.next()) positions.push(next.value.position);
    expect(positions).toEqual(text.map((_, index) => index));
  });

  it("stops when its signal aborts or its reader leaves, gives its blocks back, and lets the next text go on", async () => {
    await using backend = createBackend();
    await using source = await openRandomModel("gemma2");
    await using engine = await createTestEngine(source, [backend], { maxScoredTokens: 4, maxBatchTokens: 4, prefixCache: false });
    const inUse = () => engine.statistics().kvCaches.reduce((sum, { blocksInUse }) => sum + blocksInUse, 0);
    const controller = new AbortController();
    const aborted = (async () => {
      for await (const { position } of engine.score({ tokenIds: text }, { signal: controller.signal })) {
        if (position === 5) controller.abort(new Error("enough"));
      }
    })();
    const waiting = scoreAll(engine, { tokenIds: text.slice(0, 9) });
    await expect(aborted).rejects.toThrow("enough");
    expect((await waiting).length).toBe(9);
    for await (const { position } of engine.score({ tokenIds: text })) if (position === 6) break;
    const never = AbortSignal.abort(new Error("never"));
    await expect(scoreAll(engine, { tokenIds: text }, never)).rejects.toThrow("never");
    expect((await scoreAll(engine, { tokenIds: text.slice(0, 3) })).length).toBe(3);
    expect(inUse()).toBe(0);
  });

  it("ends with the engine, and with a device's fault", async () => {
    await using backend = createBackend();
    await using source = await openRandomModel("gemma2");
    const device = backend.device.id;
    const faulty = await createTestEngine(source, [backend], {
      maxScoredTokens: 8,
      diagnostics: { faultOfStep: (step) => (step === 2 ? { device, commandIndex: 3 } : undefined) },
    });
    await expect(scoreAll(faulty, { tokenIds: text })).rejects.toBeInstanceOf(DeviceFaultError);
    expect((await scoreAll(faulty, { tokenIds: text })).length).toBe(text.length);
    const reader = faulty.score({ tokenIds: text })[Symbol.asyncIterator]();
    await reader.next();
    await faulty[Symbol.asyncDispose]();
    const rest = async () => {
      for (let next = await reader.next(); !next.done; ) next = await reader.next();
    };
    await expect(rest()).rejects.toMatchObject({ code: "invalid-request", parameter: "engine" });
    expect(backend.statistics().allocatedBytes).toBe(0);
  });

  it("takes memory for its rows of logits only where it was asked for, and books it", async () => {
    await using backend = createBackend();
    await using source = await openRandomModel("gemma2");
    const ledger = ledgerFor(backend);
    const bytes = async (options: Partial<EngineOptions>) => {
      await using engine = await createTestEngine(source, [backend], { ledger, ...options });
      const [{ byteLengthByClass }] = engine.memory() as [ReturnType<LoadedEngine["memory"]>[number]];
      const { graphs = 0, staging = 0, ...allocated } = byteLengthByClass;
      expect(Object.values(allocated).reduce((sum, byteLength) => sum + byteLength, 0)).toBe(backend.statistics().allocatedBytes);
      return { graphs, staging };
    };
    const without = await bytes({});
    const withRows = await bytes({ maxScoredTokens: 64 });
    expect(withRows.graphs).toBeGreaterThan(without.graphs);
    // 64 rows of logits, and 64 numbers of rows in place of one, in cache lines of their own.
    expect(withRows.staging - without.staging).toBe(64 * vocabSize * 4 + 64 * 4 - 64);
    expect(ledger.report()).toEqual([]);
  });

  it.each<[string, ScoreRequest]>([
    ["tokenIds", { tokenIds: [] }],
    ["tokenIds", { tokenIds: "text" as never }],
    ["tokenIds", { tokenIds: randomPrompt(129, 1) }],
    ["tokenIds", { tokenIds: [1, 4096] }],
    ["firstPosition", { tokenIds: [1, 2], firstPosition: 2 }],
    ["firstPosition", { tokenIds: [1, 2], firstPosition: -1 }],
    ["firstPosition", { tokenIds: [1, 2], firstPosition: 0.5 }],
  ])("refuses %s that cannot be", async (parameter, request) => {
    await using backend = createBackend();
    const error = await scoreWith([backend], request, {}).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(InvalidRequestError);
    expect(error).toMatchObject({ code: "invalid-request", parameter });
  });

  it("is refused, with the cure, by an engine that has no memory for it", async () => {
    await using backend = createBackend();
    await using source = await openRandomModel("gemma2");
    await using engine = await createTestEngine(source, [backend]);
    await expect(scoreAll(engine, { tokenIds: [1] })).rejects.toMatchObject({
      code: "invalid-request",
      parameter: "maxScoredTokens",
      cure: "make the engine with maxScoredTokens",
    });
  });
});
