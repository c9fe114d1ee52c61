import { cpuBackendAvailability, createCpuBackend } from "@thermocline/cpu-kernels";
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import { createMemoryLedger, InsufficientMemoryError, InvalidRequestError } from "@thermocline/spec";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LoadedEngine } from "../src/index.js";
import { complete, createTestEngine, greedy, ledgerFor, openEmbeddedModel } from "./support/embedded-model.js";

const backend = cpuBackendAvailability().available ? createCpuBackend({ threads: 2 }) : createReferenceBackend();
const ledger = ledgerFor(backend);
const sourcePromise = openEmbeddedModel();
let engine: LoadedEngine;

beforeAll(async () => {
  engine = await createTestEngine(await sourcePromise, [backend], { ledger, maxSequences: 4, maxBatchTokens: 8 });
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  expect(ledger.report()).toEqual([]);
  expect(backend.statistics().allocatedBytes).toBe(0);
  await backend[Symbol.asyncDispose]();
  await (await sourcePromise)[Symbol.asyncDispose]();
});

describe("generation", () => {
  it("tells the story that greedy decoding gives", async () => {
    const { text, end } = await complete(engine, { prompt: "Once upon a time", sampling: greedy, maxTokens: 12 });
    expect(text).toBe(", there was a little girl named Lily. She loved");
    expect(end).toMatchObject({ reason: "length", usage: { promptTokens: 5, completionTokens: 12 } });
  });

  it("ends before a stop string that spans tokens", async () => {
    const { text, end } = await complete(engine, { prompt: "Once upon a time", sampling: greedy, maxTokens: 40, stop: ["girl named L"] });
    expect(text).toBe(", there was a little ");
    expect(end.reason).toBe("stop");
  });

  it("gives the same text for a seed, and another for another seed", async () => {
    const sampling = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 11 };
    const request = { prompt: "One day", sampling, maxTokens: 16 };
    const first = await complete(engine, request);
    expect((await complete(engine, request)).text).toBe(first.text);
    expect((await complete(engine, { ...request, sampling: { ...sampling, seed: 12 } })).text).not.toBe(first.text);
  });

  it("reports the log-probabilities of the sampled and the most likely tokens when asked", async () => {
    const { events } = await complete(engine, { prompt: "Once upon a time", sampling: greedy, maxTokens: 3, logprobs: 4 });
    const steps = events.flatMap((event) => (event.type === "text-delta" ? (event.logprobs ?? []) : []));
    expect(steps.length).toBe(3);
    for (const { tokenId, logprob, top } of steps) {
      expect(top.length).toBe(4);
      expect(top[0]).toEqual([tokenId, logprob]);
      for (let rank = 1; rank < top.length; rank++) expect(top[rank]![1]).toBeLessThanOrEqual(top[rank - 1]![1]);
      expect(top.reduce((sum, entry) => sum + Math.exp(entry[1]), 0)).toBeLessThanOrEqual(1 + 1e-6);
    }
  });

  it("penalises repetition", async () => {
    const plain = await complete(engine, { prompt: "la la la la la", sampling: greedy, maxTokens: 24 });
    const penalised = await complete(engine, {
      prompt: "la la la la la",
      sampling: { temperature: 0, repetitionPenalty: 1.8 },
      maxTokens: 24,
    });
    const repeats = (ids: readonly number[]) => ids.length - new Set(ids).size;
    expect(repeats(penalised.tokenIds)).toBeLessThan(repeats(plain.tokenIds));
  });

  it("stops at the end of the context", async () => {
    const { end } = await complete(engine, { prompt: "Once upon a time", sampling: greedy, ignoreEos: true });
    expect(end).toMatchObject({ reason: "length", usage: { completionTokens: 128 - 5 } });
  });

  it("leaves when its signal aborts, and goes on serving others", async () => {
    const controller = new AbortController();
    const other = complete(engine, { prompt: "The dog", sampling: greedy, maxTokens: 10 });
    const aborted: string[] = [];
    for await (const event of engine.generate({ prompt: "Once", sampling: greedy, ignoreEos: true }, { signal: controller.signal })) {
      if (event.type === "end") aborted.push(event.reason);
      else controller.abort();
    }
    expect(aborted).toEqual(["abort"]);
    expect((await other).end.reason).toBe("length");
  });

  it("frees the sequence of a caller that stops listening", async () => {
    for await (const event of engine.generate({ prompt: "Once", sampling: greedy, ignoreEos: true })) {
      expect(event.type).toBe("text-delta");
      break;
    }
    const alone = await complete(engine, { prompt: "The dog", sampling: greedy, maxTokens: 4 });
    expect(alone.tokenIds.length).toBe(4);
  });
});

describe("refused requests", () => {
  const invalid = async (request: Parameters<LoadedEngine["generate"]>[0], parameter: string) => {
    const error = await complete(engine, request).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(InvalidRequestError);
    expect(error).toMatchObject({ code: "invalid-request", parameter });
  };

  it("names the parameter", async () => {
    await invalid({ prompt: "" }, "prompt");
    await invalid({ prompt: [] }, "prompt");
    await invalid({ prompt: [1, 99999] }, "prompt");
    await invalid({ prompt: "word ".repeat(500) }, "prompt");
    await invalid({ prompt: "a", maxTokens: 0 }, "maxTokens");
    await invalid({ prompt: "a", logprobs: 21 }, "logprobs");
    await invalid({ prompt: "a", sampling: { temperature: -1 } }, "temperature");
    await invalid({ prompt: "a", sampling: { topP: 0 } }, "topP");
    await invalid({ prompt: "a", sampling: { topK: 1.5 } }, "topK");
    await invalid({ prompt: "a", sampling: { repetitionPenalty: 0 } }, "repetitionPenalty");
  });

  it("refuses a context that the model or the memory does not hold, and keeps nothing", async () => {
    const source = await sourcePromise;
    const small = createMemoryLedger({ [backend.device.id]: 10_000_000 });
    await expect(createTestEngine(source, [backend], { ledger: small })).rejects.toBeInstanceOf(InsufficientMemoryError);
    expect(small.report()).toEqual([]);
    await expect(createTestEngine(source, [backend], { contextLength: 100_000 })).rejects.toMatchObject({
      code: "invalid-request",
      parameter: "contextLength",
    });
  });

  it("resolves every disposal when the memory is free, the second one too", async () => {
    const other = ledgerFor(backend);
    const disposed = await createTestEngine(await sourcePromise, [backend], { ledger: other });
    const running = complete(disposed, { prompt: "Once", sampling: greedy, ignoreEos: true });
    const first = disposed[Symbol.asyncDispose]();
    await disposed[Symbol.asyncDispose]();
    expect(other.report()).toEqual([]);
    await first;
    expect((await running).end.reason).toBe("abort");
    await expect(complete(disposed, { prompt: "a" })).rejects.toMatchObject({ code: "invalid-request", parameter: "engine" });
  });

  it("stops loading when its signal aborts, and keeps nothing", async () => {
    const other = ledgerFor(backend);
    const controller = new AbortController();
    const before = backend.statistics().allocatedBytes;
    const loading = createTestEngine(await sourcePromise, [backend], {
      ledger: other,
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await expect(loading).rejects.toThrow(/abort/i);
    expect(other.report()).toEqual([]);
    expect(backend.statistics().allocatedBytes).toBe(before);
  });
});
