/** KV budgets in the words of other systems, converted by their formulas. */
import { createCpuTraits } from "@thermocline/cpu-kernels/traits";
import { type DemandSettings, InsufficientMemoryError, InvalidRequestError, type ModelSource } from "@thermocline/spec";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createEstimatedDemandModel } from "../../src/demand/estimated-demand-model.js";
import {
  type KvCard,
  type KvFractionMeaning,
  kvCacheBytesOf,
  kvFractionMeanings,
  kvFractionOf,
  parseKvBudget,
} from "../../src/demand/kv-budget.js";
import { kvCacheTokensOf } from "../../src/demand/kv-tokens.js";
import { gatedFeedForward, groupedQuery, type HeaderOptions, layered, openHeader } from "./shape-files.js";

const GiB = 2 ** 30;

describe("a KV budget's text", () => {
  it.each([
    ["4GiB", { kind: "bytes", byteLength: 4 * GiB }],
    ["1.5 GB", { kind: "bytes", byteLength: 1.5e9 }],
    ["512MiB", { kind: "bytes", byteLength: 512 * 2 ** 20 }],
    ["32768 tokens", { kind: "tokens", numTokens: 32_768 }],
    ["tokens:32768", { kind: "tokens", numTokens: 32_768 }],
    ["total:0.3", { kind: "total", fraction: 0.3 }],
    ["free:0.5", { kind: "free", fraction: 0.5 }],
    ["lmdeploy:0.8", { kind: "lmdeploy", fraction: 0.8 }],
    ["LightLLM: 0.9", { kind: "lightllm", fraction: 0.9 }],
    ["vllm:.9", { kind: "vllm", fraction: 0.9 }],
    ["sglang:0.88", { kind: "sglang", fraction: 0.88 }],
  ])("%s is read", (text, budget) => {
    expect(parseKvBudget(text)).toEqual(budget);
  });

  it.each([
    ["", "neither bytes nor tokens"],
    ["lots", "neither bytes nor tokens"],
    ["4", "does not say of what"],
    ["0.8", "does not say of what"],
    ["80%", "does not say of what"],
    ["4XiB", "neither bytes nor tokens"],
    ["0GiB", "no number of bytes"],
    ["99999999TiB", "no number of bytes"],
    ["-4GiB", "neither bytes nor tokens"],
    ["0 tokens", "no number of tokens"],
    ["99999999999 tokens", "no number of tokens"],
    ["total:0", "no fraction between 0 and 1"],
    ["total:1", "no fraction between 0 and 1"],
    ["vllm:1.2", "no fraction between 0 and 1"],
    ["sglang:-0.2", "no fraction between 0 and 1"],
    ["free:half", "no fraction between 0 and 1"],
    ["free:1e-1", "no fraction between 0 and 1"],
    ["lmdeploy:48", "counts blocks.*3072 tokens"],
    ["ollama:0.8", 'nobody\'s meaning is called "ollama"'],
  ])("%j is refused with what is wrong and how to write it", (text, problem) => {
    expect(() => parseKvBudget(text)).toThrow(
      expect.objectContaining({
        name: InvalidRequestError.name,
        message: expect.stringMatching(problem),
        cure: expect.stringMatching(/"4GiB".*"32768 tokens".*"vllm:0.8"/),
      }),
    );
  });
});

describe("two models of 15 GiB on a card of 80 GiB, 21 GiB of KV cache each", () => {
  const totalBytes = 80 * GiB;
  const weightBytes = 15 * GiB;
  const kvCacheBytes = 21 * GiB;
  const first: KvCard = { totalBytes, weightBytes, freeBytes: 80 * GiB };
  /** 15 + 21 are taken; 8 stay free after the second. */
  const second: KvCard = { totalBytes, weightBytes, freeBytes: (80 - 36) * GiB };

  it.each([
    ["lightllm", "0.450", "0.900"],
    ["lmdeploy", "0.323", "0.724"],
    ["sglang", "0.450", "0.818"],
    ["vllm", "0.450", "0.450"],
  ] as const)("take %s's %s, then %s", (kind, ofFirst, ofSecond) => {
    expect(kvFractionOf(kind, kvCacheBytes, first).toFixed(3)).toBe(ofFirst);
    expect(kvFractionOf(kind, kvCacheBytes, second).toFixed(3)).toBe(ofSecond);
  });

  it("take the same fraction of the whole card in either order", () => {
    expect(kvFractionOf("total", kvCacheBytes, first)).toBe(kvFractionOf("total", kvCacheBytes, second));
    expect(kvFractionOf("total", kvCacheBytes, first)).toBe(21 / 80);
    expect(kvFractionOf("free", kvCacheBytes, second)).toBe(21 / 44);
  });
});

describe("the KV cache bytes of a fraction", () => {
  const card: KvCard = {
    totalBytes: 24 * GiB,
    freeBytes: 22 * GiB,
    weightBytes: 8 * GiB,
    activationBytes: 2 * GiB,
    otherBytes: GiB / 2,
    graphBytes: GiB / 4,
  };

  it.each([
    ["total", 0.25, 6],
    ["free", 0.5, 11],
    // 22 − 8 = 14 are free after the weights
    ["lmdeploy", 0.5, 7],
    // a floor of 0.25 · 24 stays
    ["lightllm", 0.75, 14 - 6],
    // a floor of 0.25 · 22 stays
    ["sglang", 0.75, 14 - 5.5],
    // 18 of which 8 + 2 + 0.5 are taken, and 0.25 by graphs
    ["vllm", 0.75, 18 - 10.5 - 0.25],
  ] as const)("%s:%d are %d GiB, and those are that fraction", (kind, fraction, gib) => {
    expect(kvCacheBytesOf({ kind, fraction }, card)).toBe(gib * GiB);
    expect(kvFractionOf(kind, gib * GiB, card)).toBeCloseTo(fraction, 12);
  });

  it("come back whole from the fraction that gives them", () => {
    // No multiple of anything, so that rounding would show.
    for (const byteLength of [1, 123_456_789, 5 * GiB + 7]) {
      for (const kind of kvFractionMeanings) {
        expect(kvCacheBytesOf({ kind, fraction: kvFractionOf(kind, byteLength, card) }, card), kind).toBe(byteLength);
      }
    }
  });

  it.each([
    ["lightllm", 0.3, "0.417"],
    ["sglang", 0.2, "0.364"],
    ["vllm", 0.4, "0.448"],
  ] as const)("%s:%d leaves nothing, %s would leave something", (kind, fraction, least) => {
    expect(() => kvCacheBytesOf({ kind, fraction }, card)).toThrow(
      expect.objectContaining({ name: InvalidRequestError.name, cure: expect.stringContaining(least) }),
    );
    expect(kvCacheBytesOf({ kind, fraction: Number(least) }, card)).toBeGreaterThan(0);
  });

  it("of vLLM are refused where vLLM would not start, with a fraction at which it does", () => {
    // 0.95 · 24 = 22.8 of 22; 22 / 24 = 0.916…
    expect(() => kvCacheBytesOf({ kind: "vllm", fraction: 0.95 }, card)).toThrow(
      expect.objectContaining({ message: expect.stringContaining("vLLM does not start"), cure: expect.stringContaining("0.916") }),
    );
    expect(kvCacheBytesOf({ kind: "vllm", fraction: 0.916 }, card)).toBeGreaterThan(0);
  });

  it("are refused where the weights leave nothing to divide", () => {
    for (const kind of ["lmdeploy", "lightllm", "sglang"] as const) {
      expect(() => kvCacheBytesOf({ kind, fraction: 0.9 }, { ...card, weightBytes: 22 * GiB })).toThrow(/divides what the weights leave/);
    }
  });

  it.each([
    ["totalBytes", Number.NaN],
    ["weightBytes", -1],
    ["activationBytes", Number.POSITIVE_INFINITY],
    ["freeBytes", 25 * GiB],
    ["freeBytes", 0],
  ] as const)("are refused for a card with %s %d", (name, value) => {
    expect(() => kvCacheBytesOf({ kind: "total", fraction: 0.5 }, { ...card, [name]: value })).toThrow(
      expect.objectContaining({ name: InvalidRequestError.name, parameter: name }),
    );
  });

  it("that no fraction gives are refused", () => {
    for (const kind of kvFractionMeanings) {
      expect(() => kvFractionOf(kind satisfies KvFractionMeaning, 100 * GiB, card)).toThrow(/no .* fraction between 0 and 1 gives/);
    }
  });
});

/** 4 layers with 2 KV heads of 64; of the windowed ones every second sees all. */
function fourLayers(architecture: string, keys: HeaderOptions["keys"] = {}): HeaderOptions {
  const heads = { hiddenSize: 256, numHeads: 4, numKvHeads: 2, keyLength: 64 };
  return {
    architecture,
    keys: {
      block_count: 4,
      context_length: 65_536,
      embedding_length: 256,
      "attention.head_count": 4,
      "attention.head_count_kv": 2,
      "attention.key_length": 64,
      "attention.value_length": 64,
      ...keys,
    },
    tensors: layered(4, heads, () => ({ ...groupedQuery(heads), ...gatedFeedForward(256, 512) })),
  };
}

describe("the tokens of a budget", () => {
  const traits = createCpuTraits({ threads: 1 });
  const devices = [
    { id: "cpu:0", traits },
    { id: "cpu:1", traits },
  ];
  const settings: DemandSettings = { contextLength: 1024, maxBatchTokens: 64 };
  /** Of one token in one layer: 2 heads, 64 elements of key and of value, 2 bytes each. */
  const perTokenAndLayer = 2 * (64 + 64) * 2;
  const sources: Record<string, ModelSource> = {};

  beforeAll(async () => {
    sources.plain = await openHeader(fourLayers("unknown"));
    sources.half = await openHeader(fourLayers("unknown", { "attention.sliding_window": 100, "attention.sliding_window_pattern": 2 }));
    sources.windowed = await openHeader(
      fourLayers("unknown", { "attention.sliding_window": 100, "attention.sliding_window_pattern": 100 }),
    );
  });
  afterAll(async () => {
    for (const source of Object.values(sources)) await source[Symbol.asyncDispose]();
  });
  const model = (name: "plain" | "half" | "windowed") => createEstimatedDemandModel(sources[name]!);

  it("are the most whole blocks that stay within its bytes", () => {
    const block = 32 * 4 * perTokenAndLayer;
    const tokens = (byteLength: number) => kvCacheTokensOf(model("plain"), devices, settings, { kind: "bytes", byteLength });
    expect(tokens(1000 * block)).toBe(32_000);
    expect(tokens(1000 * block - 1)).toBe(31_968);
    expect(tokens(1000 * block + block - 1)).toBe(32_000);
    // exactly one sequence: 32 blocks
    expect(tokens(32 * block)).toBe(1024);
  });

  it("go to the layers that see the whole context where others have a window", () => {
    // 2 windowed layers have ⌈(100 + 64) / 32⌉ + 1 = 7 blocks, 2 others the rest.
    const windows = 2 * 7 * 32 * perTokenAndLayer;
    const byteLength = windows + 500 * 32 * 2 * perTokenAndLayer;
    expect(kvCacheTokensOf(model("half"), devices, settings, { kind: "bytes", byteLength })).toBe(16_000);
    expect(kvCacheTokensOf(model("half"), devices, settings, { kind: "bytes", byteLength: byteLength - 1 })).toBe(15_968);
  });

  it("are those of all sequences where every layer has a window, which more would not fill", () => {
    const budget = { kind: "bytes", byteLength: GiB } as const;
    expect(kvCacheTokensOf(model("windowed"), devices, { ...settings, maxSequences: 3 }, budget)).toBe(3 * 1024);
  });

  it("are, for a fraction, what the fullest device holds", () => {
    const demand = model("plain");
    const { units } = demand.demandOf(devices, settings);
    // Three layers on the one, a layer and the ends of the model on the other.
    const placement = new Map(units.map(({ id, layer }) => [id, [{ device: layer >= 0 && layer < 3 ? "cpu:0" : "cpu:1" }]]));
    const memory = { "cpu:0": { totalBytes: GiB, freeBytes: GiB }, "cpu:1": { totalBytes: GiB, freeBytes: GiB } };
    const tokens = kvCacheTokensOf(demand, devices, settings, { kind: "total", fraction: 0.5 }, { placement, memory });
    // 0.5 GiB over three layers, rounded down to blocks
    expect(tokens).toBe(Math.floor(GiB / 2 / (32 * 3 * perTokenAndLayer)) * 32);
    const bytes = demand.bytesOf(devices, { ...settings, kvCacheTokens: tokens }, placement);
    const onFirst = bytes.filter(({ device, class: memoryClass }) => device === "cpu:0" && memoryClass === "kv-cache");
    expect(onFirst.reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThanOrEqual(GiB / 2);
  });

  it("follow another system's formula with the model's own bytes in it", () => {
    const demand = model("plain");
    const memory = { "cpu:0": { totalBytes: GiB, freeBytes: GiB } };
    const tokens = kvCacheTokensOf(demand, devices, settings, { kind: "lmdeploy", fraction: 0.5 }, { memory });
    const weights = [...sources.plain!.tensors.values()].reduce((sum, info) => sum + Math.ceil(traits.packedByteLength(info) / 64) * 64, 0);
    expect(tokens).toBe(Math.floor((GiB - weights) / 2 / (32 * 4 * perTokenAndLayer)) * 32);
  });

  it("are given as they are in whole blocks", () => {
    expect(kvCacheTokensOf(model("plain"), devices, settings, { kind: "tokens", numTokens: 2000 })).toBe(1984);
  });

  it("that hold no sequence are refused, with the context that they do hold, which then fits", () => {
    const budget = { kind: "bytes", byteLength: 20 * 32 * 4 * perTokenAndLayer + 5 } as const;
    expect(() => kvCacheTokensOf(model("plain"), devices, settings, budget)).toThrow(
      expect.objectContaining({
        name: InsufficientMemoryError.name,
        device: "cpu:0",
        cure: expect.stringContaining("lower contextLength to 640 "),
      }),
    );
    expect(kvCacheTokensOf(model("plain"), devices, { ...settings, contextLength: 640 }, budget)).toBe(640);
    expect(() => kvCacheTokensOf(model("plain"), devices, { ...settings, contextLength: 641 }, budget)).toThrow(InsufficientMemoryError);
    expect(() => kvCacheTokensOf(model("plain"), devices, settings, { kind: "tokens", numTokens: 1000 })).toThrow(
      expect.objectContaining({ name: InvalidRequestError.name, cure: expect.stringContaining("lower contextLength to 992") }),
    );
    expect(() => kvCacheTokensOf(model("plain"), devices, settings, { kind: "bytes", byteLength: 100 })).toThrow(
      /holds no block of tokens/,
    );
  });

  it("of a fraction of unknown memory are refused", () => {
    expect(() => kvCacheTokensOf(model("plain"), devices, settings, { kind: "free", fraction: 0.5 })).toThrow(
      /share of cpu:0, whose memory is not known/,
    );
  });
});
