/** What the estimate says of a model that has a graph, against that graph: equal where it claims to be exact, never below it elsewhere. */
import { referenceTraits } from "@thermocline/cpu-kernels/reference";
import { createCpuTraits } from "@thermocline/cpu-kernels/traits";
import { openGguf } from "@thermocline/loader-gguf";
import type { BackendTraits, DemandSettings, MemoryClass, ModelSource, PlacedBytes, Placement } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createEstimatedDemandModel } from "../../src/demand/estimated-demand-model.js";
import { embeddingLimitsOf } from "../../src/embedder-options.js";
import { stepLimitsOf } from "../../src/engine-options.js";
import { loadStagingLabel } from "../../src/graph/load-staging.js";
import { draftModelGraph, memoryRequestsOf } from "../../src/graph/model-graph.js";
import { listOffloadUnits, placeOnOneDevice, readModelConfig } from "../../src/index.js";
import { buildRandomBert } from "../support/random-bert.js";
import { openRandomModel, randomModelNames } from "../support/random-model.js";
import { splitDevices, splitPlacement } from "../support/split-placement.js";
import { gatedFeedForward, groupedQuery, type HeaderOptions, layered, openHeader } from "./shape-files.js";

const cpuTraits = createCpuTraits({ threads: 2 });
/** A device that reads nothing of the host's memory: all that changes hands has a copy in its arena. */
const distantTraits: BackendTraits = { ...cpuTraits, readsHostMemory: false };
const oneDevice = new Map([["cpu:0", cpuTraits]]);

/** By class; what loading stages apart from step inputs and outputs. */
type Sums = Readonly<Partial<Record<MemoryClass | "loading", number>>>;

function sums(placed: readonly Pick<PlacedBytes, "class" | "label" | "byteLength">[]): Sums {
  const byClass: Partial<Record<MemoryClass | "loading", number>> = {};
  for (const { class: memoryClass, label, byteLength } of placed) {
    const key = label === loadStagingLabel ? "loading" : memoryClass;
    byClass[key] = (byClass[key] ?? 0) + byteLength;
  }
  return byClass;
}

/** What an engine reserves, and what the estimate says, by device. */
function bothAccounts(
  source: ModelSource,
  traits: ReadonlyMap<string, BackendTraits>,
  settings: DemandSettings,
  placementOf?: (source: ModelSource) => Placement,
): ReadonlyMap<string, { readonly engine: Sums; readonly estimate: Sums }> {
  const config = readModelConfig(source);
  const placement = placementOf?.(source) ?? placeOnOneDevice(listOffloadUnits(source, config), [...traits.keys()][0]!);
  const limits = config.pooling === undefined ? stepLimitsOf(settings, config) : embeddingLimitsOf(settings, config);
  const graph = draftModelGraph(source, config, placement, traits, limits);
  const reserved = memoryRequestsOf(graph, "model");
  const devices = [...traits].map(([id, own]) => ({ id, traits: own }));
  const estimated = createEstimatedDemandModel(source).bytesOf(devices, settings, placement);
  return new Map(
    [...traits.keys()].map((id) => {
      const here = ({ device }: { readonly device: string }) => device === id;
      return [id, { engine: sums(reserved.filter(here)), estimate: sums(estimated.filter(here)) }];
    }),
  );
}

const settings: DemandSettings = { contextLength: 128, maxBatchTokens: 32, maxSequences: 3, maxScoredTokens: 8 };

describe("the estimate of a model that has a graph", () => {
  it.each(randomModelNames)(
    "%s: has the same units, weights, KV caches and step tensors, and bounds the rest within a factor of 3",
    async (name) => {
      await using source = await openRandomModel(name);
      const { engine, estimate } = bothAccounts(source, oneDevice, settings).get("cpu:0")!;
      expect(estimate["kv-cache"]).toBe(engine["kv-cache"]);
      expect(estimate.staging).toBe(engine.staging);
      // Matrices that are fused in the file are loaded in parts.
      expect(estimate.loading).toBeGreaterThanOrEqual(engine.loading!);
      expect(estimate.loading! / engine.loading!).toBeLessThan(3);
      // Factors of a scaling that is computed and not a tensor count whether or not the layer has them.
      expect(estimate.weights! - engine.weights!).toBeGreaterThanOrEqual(0);
      expect(estimate.weights! / engine.weights!).toBeLessThan(1.01);
      for (const bounded of ["activations", "graphs"] as const) {
        expect(estimate[bounded]).toBeGreaterThanOrEqual(engine[bounded]!);
        expect(estimate[bounded]! / engine[bounded]!).toBeLessThan(3);
      }
      const ids = createEstimatedDemandModel(source)
        .demandOf([{ id: "cpu:0", traits: cpuTraits }], settings)
        .units.map(({ id, kind, layer, rows, tensors, kvCache }) => ({ id, kind, layer, rows, tensors: [...tensors].sort(), kvCache }));
      const known = listOffloadUnits(source, readModelConfig(source)).map(({ id, kind, layer, rows, tensors, kvCache }) => ({
        id,
        kind,
        layer,
        rows,
        tensors: [...tensors].sort(),
        kvCache,
      }));
      expect(ids).toEqual(known);
    },
  );

  it("bounds a model that makes vectors of texts", async () => {
    await using source = await openGguf(new Blob([buildRandomBert({ seed: 1, pooling: "mean" })]));
    const { engine, estimate } = bothAccounts(source, oneDevice, {}).get("cpu:0")!;
    expect(estimate["kv-cache"]).toBeUndefined();
    expect(estimate.weights).toBe(engine.weights);
    for (const bounded of ["activations", "graphs", "staging"] as const) {
      expect(estimate[bounded], bounded).toBeGreaterThanOrEqual(engine[bounded]!);
      expect(estimate[bounded]! / engine[bounded]!, bounded).toBeLessThan(3);
    }
  });

  it.each([
    ["that read the host's memory", cpuTraits, cpuTraits],
    ["of which one is distant", cpuTraits, distantTraits],
    ["of which both are distant", distantTraits, distantTraits],
    ["of which one unpacks its weights", cpuTraits, referenceTraits],
  ] as const)("is never below what a split over two devices %s takes", async (_, first, second) => {
    const traits = new Map([
      [splitDevices[0], first],
      [splitDevices[1], second],
    ]);
    for (const name of ["llama", "gemma3", "mixtral", "qwen3moe", "phi3"] as const) {
      await using source = await openRandomModel(name);
      for (const [device, { engine, estimate }] of bothAccounts(source, traits, settings, splitPlacement)) {
        for (const memoryClass of ["weights", "kv-cache", "activations", "graphs", "staging", "transfer", "loading"] as const) {
          const exact = engine[memoryClass] ?? 0;
          const bound = estimate[memoryClass] ?? 0;
          expect(bound, `${name} ${device} ${memoryClass}`).toBeGreaterThanOrEqual(exact);
        }
      }
    }
  });
});

const llama70b = { hiddenSize: 8192, numHeads: 64, numKvHeads: 8, keyLength: 128 };
const gemma3 = { hiddenSize: 5376, numHeads: 32, numKvHeads: 16, keyLength: 128 };
const qwen3moe = { hiddenSize: 2048, numHeads: 32, numKvHeads: 4, keyLength: 128 };

const keysOf = (numLayers: number, { hiddenSize, numHeads, numKvHeads, keyLength }: typeof llama70b) => ({
  block_count: numLayers,
  context_length: 32_768,
  embedding_length: hiddenSize,
  feed_forward_length: 28_672,
  "attention.head_count": numHeads,
  "attention.head_count_kv": numKvHeads,
  "attention.key_length": keyLength,
  "attention.value_length": keyLength,
  "attention.layer_norm_rms_epsilon": { type: "f32", value: 1e-5 } as const,
  "rope.dimension_count": keyLength,
});

const headNorms = (length: number) => ({ attn_q_norm: [length], attn_k_norm: [length] });

const largeHeaders: Readonly<Record<string, HeaderOptions>> = {
  "Llama-70B": {
    architecture: "llama",
    keys: keysOf(80, llama70b),
    tensors: layered(80, { hiddenSize: 8192, vocabSize: 128_256, isTied: false }, () => ({
      ...groupedQuery(llama70b),
      ...gatedFeedForward(8192, 28_672),
    })),
  },
  "Gemma-3-27B": {
    architecture: "gemma3",
    keys: { ...keysOf(62, gemma3), feed_forward_length: 21_504, "attention.sliding_window": 1024 },
    tensors: layered(62, { hiddenSize: 5376, vocabSize: 262_144 }, () => ({
      ...groupedQuery(gemma3),
      ...headNorms(128),
      post_attention_norm: [5376],
      ...gatedFeedForward(5376, 21_504),
      post_ffw_norm: [5376],
    })),
  },
  "Qwen3-30B-A3B": {
    architecture: "qwen3moe",
    keys: { ...keysOf(48, qwen3moe), feed_forward_length: 6144, expert_count: 128, expert_used_count: 8, expert_feed_forward_length: 768 },
    tensors: layered(48, { hiddenSize: 2048, vocabSize: 151_936, isTied: false }, () => ({
      ...groupedQuery(qwen3moe),
      ...headNorms(128),
      ffn_norm: [2048],
      ffn_gate_inp: [128, 2048],
      ffn_gate_exps: [128, 768, 2048],
      ffn_up_exps: [128, 768, 2048],
      ffn_down_exps: [128, 2048, 768],
    })),
  },
};

describe("the estimate of a large model that has a graph", () => {
  it.each(Object.keys(largeHeaders))("%s: has the same KV caches, and activations within a factor of 3", async (name) => {
    await using source = await openHeader(largeHeaders[name]!);
    for (const maxBatchTokens of [1, 512]) {
      const { engine, estimate } = bothAccounts(source, oneDevice, { contextLength: 32_768, maxBatchTokens }).get("cpu:0")!;
      expect(estimate["kv-cache"]).toBe(engine["kv-cache"]);
      expect(estimate.weights).toBe(engine.weights);
      expect(estimate.staging).toBe(engine.staging);
      expect(estimate.activations).toBeGreaterThanOrEqual(engine.activations!);
      expect(estimate.activations! / engine.activations!).toBeLessThan(3);
    }
  });
});
