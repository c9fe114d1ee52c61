/** How tokens become blocks, and blocks bytes of each dtype. */
import { createCpuTraits } from "@thermocline/cpu-kernels/traits";
import { type DemandSettings, InvalidRequestError } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createEstimatedDemandModel } from "../../src/demand/estimated-demand-model.js";
import { gatedFeedForward, groupedQuery, type HeaderOptions, layered, openHeader } from "./shape-files.js";

const device = { id: "cpu:0", traits: createCpuTraits({ threads: 1 }) };
const hiddenSize = 256;

/** One layer with 2 KV heads of 64, or of another length. */
function oneLayer(keyLength = 64, keys: HeaderOptions["keys"] = {}): HeaderOptions {
  const heads = { hiddenSize, numHeads: 4, numKvHeads: 2, keyLength };
  return {
    architecture: "unknown",
    keys: {
      block_count: 1,
      context_length: 8192,
      embedding_length: hiddenSize,
      "attention.head_count": 4,
      "attention.head_count_kv": 2,
      "attention.key_length": keyLength,
      "attention.value_length": keyLength,
      ...keys,
    },
    tensors: layered(1, heads, () => ({ ...groupedQuery(heads), ...gatedFeedForward(hiddenSize, 512) })),
  };
}

async function attentionBytes(header: HeaderOptions, settings: DemandSettings) {
  await using source = await openHeader(header);
  return createEstimatedDemandModel(source).demandOf([device], settings).devices["cpu:0"]!.units["blk.0.attention"]!;
}

/** Elements of keys and values of a token. */
const perToken = 2 * (64 + 64);

describe("KV blocks", () => {
  it("round a context up to whole blocks of 32 tokens", async () => {
    // ⌈100 / 32⌉ = 4 blocks: 128 tokens
    expect((await attentionBytes(oneLayer(), { contextLength: 100 })).kvCacheBytes).toBe(128 * perToken * 2);
    expect((await attentionBytes(oneLayer(), { contextLength: 1 })).kvCacheBytes).toBe(32 * perToken * 2);
    expect((await attentionBytes(oneLayer(), { contextLength: 128 })).kvCacheBytes).toBe(128 * perToken * 2);
  });

  it("round the context of each sequence", async () => {
    expect((await attentionBytes(oneLayer(), { contextLength: 100, maxSequences: 3 })).kvCacheBytes).toBe(3 * 128 * perToken * 2);
  });

  it("round a pool of tokens once, and never below one context", async () => {
    // ⌈1000 / 32⌉ = 32 blocks
    const pool = { contextLength: 100, maxSequences: 3, kvCacheTokens: 1000 };
    expect((await attentionBytes(oneLayer(), pool)).kvCacheBytes).toBe(1024 * perToken * 2);
    expect((await attentionBytes(oneLayer(), { ...pool, kvCacheTokens: 32 })).kvCacheBytes).toBe(128 * perToken * 2);
  });

  it("hold a window, a chunk and a block that both may begin and end in, and no more than the pool", async () => {
    const windowed = oneLayer(64, { "attention.sliding_window": 100, "attention.sliding_window_pattern": 2 });
    // ⌈(100 + 64) / 32⌉ + 1 = 7 blocks for each of 2 sequences
    const settings = { contextLength: 4096, maxBatchTokens: 64, maxSequences: 2 };
    expect((await attentionBytes(windowed, settings)).kvCacheBytes).toBe(2 * 7 * 32 * perToken * 2);
    expect((await attentionBytes(windowed, { ...settings, contextLength: 64 })).kvCacheBytes).toBe(2 * 64 * perToken * 2);
  });

  it("count a file's window as the whole context where no one says which layers have it", async () => {
    await using source = await openHeader(oneLayer(64, { "attention.sliding_window": 100 }));
    const demand = createEstimatedDemandModel(source).demandOf([device], { contextLength: 4096 });
    expect(demand.devices["cpu:0"]!.units["blk.0.attention"]!.kvCacheBytes).toBe(4096 * perToken * 2);
    expect(demand.estimates.join(" ")).toMatch(/sliding window of 100 tokens.*all count as seeing the whole context/);
  });
});

describe("bytes of a cached token", () => {
  it.each([
    // 2 heads of 64: 128 elements of each; 4 blocks of 32 where they are quantised
    ["f32", "f32", 128 * 4 + 128 * 4],
    ["f16", "f16", 128 * 2 + 128 * 2],
    ["q8_0", "q8_0", 4 * 34 + 4 * 34],
    ["q4_0", "q4_0", 4 * 18 + 4 * 18],
    ["q8_0", "q4_0", 4 * 34 + 4 * 18],
    ["f16", "q4_0", 128 * 2 + 4 * 18],
  ] as const)("of keys in %s and values in %s are %i", async (keyCacheDType, valueCacheDType, bytesPerToken) => {
    const bytes = await attentionBytes(oneLayer(), { contextLength: 4096, keyCacheDType, valueCacheDType });
    expect(bytes.kvBytesPerToken).toBe(bytesPerToken);
    expect(bytes.kvCacheBytes).toBe(4096 * bytesPerToken);
  });

  it("fill q8_0 to 34/32 and q4_0 to 18/32 of a byte an element", async () => {
    const f16 = await attentionBytes(oneLayer(), { contextLength: 4096 });
    const of = async (dtype: "q8_0" | "q4_0") =>
      (await attentionBytes(oneLayer(), { contextLength: 4096, keyCacheDType: dtype, valueCacheDType: dtype })).kvCacheBytes;
    expect((await of("q8_0")) / f16.kvCacheBytes).toBe(34 / 64);
    expect((await of("q4_0")) / f16.kvCacheBytes).toBe(18 / 64);
  });

  it("are refused where heads are no whole number of quantisation blocks, with the dtypes that fit", async () => {
    // 48 = 1.5 blocks of 32
    await expect(attentionBytes(oneLayer(48), { contextLength: 64, valueCacheDType: "q8_0" })).rejects.toThrow(
      expect.objectContaining({ name: InvalidRequestError.name, parameter: "valueCacheDType", cure: expect.stringContaining("f16, f32") }),
    );
    await expect(attentionBytes(oneLayer(), { contextLength: 64, keyCacheDType: "q4_k" })).rejects.toThrow(
      expect.objectContaining({ parameter: "keyCacheDType", message: expect.stringContaining("cpu:0 has no caches of") }),
    );
  });
});
