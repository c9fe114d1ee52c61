/** What the plan says is what is used: the arena's highest touched byte, the ledger, two models side by side. */
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import { type DeviceBuffer, defaultSampling, type MemoryReservation, type ModelConfig } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { draftModelGraph } from "../src/graph/model-graph.js";
import type { StepLimits } from "../src/graph/step-limits.js";
import { listOffloadUnits, placeOnOneDevice, readModelConfig } from "../src/index.js";
import { ModelMemory } from "../src/model-memory.js";
import { ModelRunner } from "../src/model-runner.js";
import { Sequence } from "../src/scheduling/sequence.js";
import { complete, createTestEngine, greedy, ledgerFor, openEmbeddedModel } from "./support/embedded-model.js";

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
