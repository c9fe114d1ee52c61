/** What the plan says is what is used: the arena's highest touched byte, the ledger, two models side by side. */
import { cpuBackendAvailability, createCpuBackend } from "@thermocline/cpu-kernels";
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import {
  type Backend,
  type DeviceBuffer,
  type DeviceMemoryReport,
  type DType,
  defaultSampling,
  dtypes,
  InvalidRequestError,
  type MemoryReservation,
  type ModelConfig,
} from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { draftModelGraph } from "../src/graph/model-graph.js";
import type { StepLimits } from "../src/graph/step-limits.js";
import { type EngineOptions, listOffloadUnits, placeOnOneDevice, readModelConfig } from "../src/index.js";
import { ModelMemory } from "../src/model-memory.js";
import { ModelRunner } from "../src/model-runner.js";
import { Sequence } from "../src/scheduling/sequence.js";
import { complete, createTestEngine, greedy, ledgerFor, openEmbeddedModel } from "./support/embedded-model.js";
import { openRandomModel, type RandomModelName, randomPrompt } from "./support/random-model.js";

const limitsFor = (config: ModelConfig): StepLimits => ({
  maxBatchTokens: 8,
  maxSequences: 1,
  maxOutputRows: 1,
  maxScoredTokens: 0,
  contextLength: 32,
  blockSize: 32,
  maxBlocksPerSequence: 1,
  maxLogitEdits: 8,
  logprobColumns: 4,
  kvGroups: [{ layers: config.layers.map((_, layer) => layer), numBlocks: 1 }],
});

const totals = (reservations: readonly MemoryReservation[]) =>
  reservations.reduce<Record<string, number>>((sums, { owner, class: memoryClass, byteLength }) => {
    const key = `${owner} ${memoryClass}`;
    sums[key] = (sums[key] ?? 0) + byteLength;
    return sums;
  }, {});

describe("the activation arena", () => {
  it("is touched up to its planned end by a full step, and has not a byte more", async () => {
    await using source = await openEmbeddedModel();
    await using backend = createReferenceBackend();
    const device = backend.device.id;
    const config = readModelConfig(source);
    const limits = limitsFor(config);
    const graph = draftModelGraph(
      source,
      config,
      placeOnOneDevice(listOffloadUnits(source, config), device),
      new Map([[device, backend.traits]]),
      limits,
    );
    const backends = new Map([[device, backend]]);
    using memory = new ModelMemory(graph, backends, ledgerFor(backend), "model");
    await memory.load(source);
    using runner = new ModelRunner(graph, memory, backends, limits);
    const arena: DeviceBuffer = memory.resolve(device, { kind: "activation", id: 0 }, [0]).buffer;
    const wholeArena = { buffer: arena, byteOffset: 0, dtype: "i8", layout: "plain", shape: [arena.byteLength] } as const;

    const sequence = new Sequence(0, {
      promptTokenIds: [1, 2, 3, 4, 5, 6, 7, 8],
      sampling: { ...defaultSampling, seed: 1 },
      maxTokens: 1,
      withLogprobs: true,
    });
    sequence.blocks.tables[0] = [0];
    const untouched = 0xa5;
    backend.write(wholeArena, new Uint8Array(arena.byteLength).fill(untouched));
    await runner.run([{ sequence, numTokens: 8, sampled: true }]);
    const after = new Uint8Array(arena.byteLength);
    await backend.read(wholeArena, after);

    expect(arena.byteLength).toBe(graph.devices.get(device)?.arenaByteLength);
    // A float of the pattern's bytes at the very end would be a coincidence of one in four thousand million.
    const peak = after.findLastIndex((byte) => byte !== untouched) + 1;
    expect(Math.ceil(peak / backend.traits.alignment) * backend.traits.alignment).toBe(arena.byteLength);
  });
});

describe("two models in one process", () => {
  it("get the same bytes when they load at once as one after the other, and give all back", async () => {
    await using backend = createReferenceBackend();
    await using source = await openEmbeddedModel();
    const ledger = ledgerFor(backend);
    const open = (owner: string) => createTestEngine(source, [backend], { ledger, owner, contextLength: owner === "a" ? 64 : 128 });

    const first = await open("a");
    const second = await open("b");
    const oneAfterTheOther = totals(ledger.report());
    await first[Symbol.asyncDispose]();
    await second[Symbol.asyncDispose]();
    expect(ledger.report()).toEqual([]);

    const both = await Promise.all([open("a"), open("b")]);
    expect(totals(ledger.report())).toEqual(oneAfterTheOther);
    const texts = await Promise.all(both.map((engine) => complete(engine, { prompt: "Once upon a time", sampling: greedy, maxTokens: 8 })));
    expect(texts[0]?.text).toBe(texts[1]?.text);
    for (const engine of both) await engine[Symbol.asyncDispose]();
    expect(ledger.report()).toEqual([]);
    expect(backend.statistics().allocatedBytes).toBe(0);
  });
});

describe("the storage of keys and values", () => {
  // phi3's heads of 32 elements are one block of the quantised types.
  const kvCacheBytes = async (backend: Backend, keyCacheDType?: DType, valueCacheDType?: DType) => {
    const ledger = ledgerFor(backend);
    await using source = await openRandomModel("phi3");
    await using engine = await createTestEngine(source, [backend], {
      ledger,
      ...(keyCacheDType === undefined ? {} : { keyCacheDType }),
      ...(valueCacheDType === undefined ? {} : { valueCacheDType }),
    });
    const { tokenIds } = await complete(engine, { prompt: randomPrompt(40, 1), sampling: greedy, maxTokens: 4, ignoreEos: true });
    expect(tokenIds.length).toBe(4);
    const [{ byteLengthByClass }] = engine.memory() as [DeviceMemoryReport];
    // Command lists and the shared host memory are no allocations of a backend; all else is booked to the byte.
    const { graphs = 0, staging = 0, ...allocated } = byteLengthByClass;
    expect(Object.values(allocated).reduce((sum, byteLength) => sum + byteLength, 0)).toBe(backend.statistics().allocatedBytes);
    expect(totals(ledger.report())).toEqual(
      Object.fromEntries(
        Object.entries(byteLengthByClass).map(([memoryClass, byteLength]) => [`random weights ${memoryClass}`, byteLength]),
      ),
    );
    const [statistics] = engine.statistics().kvCaches;
    expect(statistics!.blockByteLength * statistics!.numBlocks).toBe(allocated["kv-cache"]);
    return allocated["kv-cache"]!;
  };
  const bytesPerElement = (dtype: DType) => dtypes[dtype].blockBytes / dtypes[dtype].blockSize;
  const makers: Record<string, () => Backend> = {
    "the reference": () => createReferenceBackend(),
    ...(cpuBackendAvailability().available ? { "the CPU backend": () => createCpuBackend({ threads: 1 }) } : {}),
  };

  it.each(Object.keys(makers))("on %s takes the bytes of its dtypes, keys and values each of their own", async (name) => {
    await using backend = makers[name]!();
    const { kvDTypes } = backend.traits;
    const half = await kvCacheBytes(backend, "f16", "f16");
    for (const [key, value] of kvDTypes.flatMap((dtype) => [[dtype, dtype] as const, ["f16", dtype] as const])) {
      const share = (bytesPerElement(key) + bytesPerElement(value)) / (2 * bytesPerElement("f16"));
      expect(await kvCacheBytes(backend, key, value)).toBe(half * share);
    }
    expect(await kvCacheBytes(backend)).toBe((half * bytesPerElement(kvDTypes[0]!)) / bytesPerElement("f16"));
    if (kvDTypes.includes("q4_0")) expect(half / (await kvCacheBytes(backend, "q4_0", "q4_0"))).toBeGreaterThan(3.5);
  });

  it.each<[string, Partial<EngineOptions>, RandomModelName]>([
    ["valueCacheDType", { valueCacheDType: "q4_k" }, "phi3"],
    ["keyCacheDType", { keyCacheDType: "i32" }, "phi3"],
    // Heads of 16 elements.
    ["keyCacheDType", { keyCacheDType: "q8_0" }, "llama"],
  ])("is refused where the device or the model does not have it: %s", async (parameter, options, model) => {
    await using backend = createReferenceBackend();
    const ledger = ledgerFor(backend);
    await using source = await openRandomModel(model);
    const error = await createTestEngine(source, [backend], { ledger, ...options }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(InvalidRequestError);
    expect(error).toMatchObject({ code: "invalid-request", parameter, cure: expect.stringMatching(/use one of .*f16/) });
    expect(ledger.report()).toEqual([]);
  });
});
