/** What is read off the headers of layers that are unlike llama's, by hand. */
import { createCpuTraits } from "@thermocline/cpu-kernels/traits";
import type { MemoryDemand } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createEstimatedDemandModel } from "../../src/demand/estimated-demand-model.js";
import { readModelShape } from "../../src/demand/shape-model.js";
import {
  gatedFeedForward,
  groupedQuery,
  type HeaderOptions,
  i32s,
  openHeader,
  type Shapes,
  smallHeader,
  smallHeads,
} from "./shape-files.js";

const cpu = { id: "cpu:0", traits: createCpuTraits({ threads: 1 }) };
const { hiddenSize } = smallHeads;

async function demandOf(options: HeaderOptions, settings = { contextLength: 1024, maxBatchTokens: 64 }): Promise<MemoryDemand> {
  await using source = await openHeader(options);
  return createEstimatedDemandModel(source).demandOf([cpu], settings);
}

async function layersOf(options: HeaderOptions) {
  await using source = await openHeader(options);
  return readModelShape(source).layers;
}

const kvBytes = ({ devices, units }: MemoryDemand) =>
  units.map(({ id }) => devices["cpu:0"]!.units[id]!.kvCacheBytes).filter((bytes) => bytes > 0);

describe("a layer's shape", () => {
  it("has attention beside a state where the file has both (Falcon-H1)", async () => {
    const [layer] = await layersOf(
      smallHeader("falcon-h1", { "ssm.conv_kernel": 4, "ssm.state_size": 128, "ssm.inner_size": 512, "ssm.group_count": 1 }, 1, () => ({
        ...groupedQuery(smallHeads),
        ssm_in: [2 * 512 + 2 * 128 + 8, hiddenSize],
        ssm_conv1d: [512 + 2 * 128, 4],
        ssm_out: [hiddenSize, 512],
        ...gatedFeedForward(hiddenSize, 1024),
      })),
    );
    expect(layer!.attention.kind).toBe("grouped-query");
    // 3 earlier inputs of 768 channels; 512 channels with a state of 128
    expect(layer!.recurrentState).toEqual({ convolutionElements: 3 * 768, stateElements: 512 * 128 });
  });

  it("has a state and no keys where queries and keys feed a delta rule (Kimi-Linear)", async () => {
    const layers = await layersOf(
      smallHeader(
        "kimi-linear",
        { "attention.head_count_kv": i32s([0, 4]), "attention.kv_lora_rank": 512, "kda.head_dim": 64, "ssm.conv_kernel": 4 },
        2,
        (layer): Shapes =>
          layer === 1
            ? { attn_q: [4 * 192, hiddenSize], attn_kv_a_mqa: [576, hiddenSize], attn_kv_a_norm: [512], attn_output: [hiddenSize, 512] }
            : {
                ...groupedQuery({ ...smallHeads, numKvHeads: 4 }),
                ssm_conv1d_q: [1, 256, 1, 4],
                ssm_conv1d_k: [1, 256, 1, 4],
                ssm_conv1d_v: [1, 256, 1, 4],
              },
      ),
    );
    expect(layers.map(({ attention }) => attention.kind)).toEqual(["none", "latent"]);
    // three convolutions over 4 inputs of 256 channels; 4 heads of 64 by 64
    expect(layers[0]!.recurrentState).toEqual({ convolutionElements: 3 * 3 * 256, stateElements: 4 * 64 * 64 });
    expect(layers[1]!.recurrentState).toBeUndefined();
  });

  it("keeps the last inputs of a short convolution (LFM2)", async () => {
    const layers = await layersOf(
      smallHeader("lfm2", { "attention.head_count_kv": i32s([0, 2]), "shortconv.l_cache": 3 }, 2, (layer) =>
        layer === 1
          ? groupedQuery(smallHeads)
          : { attn_norm: [hiddenSize], "shortconv.conv": [hiddenSize, 3], "shortconv.in_proj": [768, hiddenSize] },
      ),
    );
    expect(layers[0]).toMatchObject({ attention: { kind: "none" }, recurrentState: { convolutionElements: 2 * 256, stateElements: 0 } });
    expect(layers[1]!.attention.kind).toBe("grouped-query");
  });

  it("keeps a matrix a head and two shifted tokens (RWKV)", async () => {
    const keys = { "attention.head_count": 0, "attention.head_count_kv": undefined, "wkv.head_size": 64 };
    const [layer] = await layersOf(
      smallHeader("rwkv6", keys, 1, () => ({ time_mix_key: [256, 256], time_mix_value: [256, 256], channel_mix_key: [896, 256] })),
    );
    // 256 / 64 heads of 64 by 64
    expect(layer).toMatchObject({
      attention: { kind: "none" },
      recurrentState: { convolutionElements: 2 * 256, stateElements: 4 * 64 * 64 },
    });
  });

  it("caches keys twice where they are the values too (Gemma 4)", async () => {
    const { attn_v: _none, ...others } = groupedQuery(smallHeads);
    const demand = await demandOf(smallHeader("gemma4", {}, 1, () => ({ ...others, ...gatedFeedForward(hiddenSize, 1024) })));
    expect(kvBytes(demand)).toEqual([1024 * 2 * (64 + 64) * 2]);
  });

  it("has heads of another length where it has a window", async () => {
    const keys = {
      "attention.sliding_window": 128,
      "attention.sliding_window_pattern": [true, false],
      "attention.key_length": 128,
      "attention.value_length": 128,
      "attention.key_length_swa": 64,
      "attention.value_length_swa": 64,
    };
    const demand = await demandOf(
      smallHeader("gemma4", keys, 2, (layer) => ({
        ...groupedQuery({ ...smallHeads, keyLength: layer === 0 ? 64 : 128 }),
        ...gatedFeedForward(hiddenSize, 1024),
      })),
    );
    // ⌈(128 + 64) / 32⌉ + 1 = 7 blocks, then the whole context
    expect(kvBytes(demand)).toEqual([7 * 32 * 2 * (64 + 64) * 2, 1024 * 2 * (128 + 128) * 2]);
  });

  it.each([
    ["gpt-oss", { "attention.sliding_window": 128 }, [128, undefined, 128, undefined, 128]],
    ["cohere2", { "attention.sliding_window": 128 }, [128, 128, 128, undefined, 128]],
    ["smallthinker", { "attention.sliding_window": 128 }, [undefined, 128, 128, 128, undefined]],
    ["llama4", {}, [8192, 8192, 8192, undefined, 8192]],
    ["llama4", { "attention.sliding_window": 0 }, [undefined, undefined, undefined, undefined, undefined]],
    ["olmo2", {}, [undefined, undefined, undefined, undefined, undefined]],
    ["gemma3n", { "attention.sliding_window": 128, "attention.sliding_window_pattern": 2 }, [128, undefined, 128, undefined, 128]],
    [
      "smallthinker",
      { "attention.sliding_window": 128, "attention.sliding_window_pattern": 2 },
      [undefined, 128, undefined, 128, undefined],
    ],
  ])("%s with %j sees as far as its architecture says", async (architecture, keys, windows) => {
    const layers = await layersOf(smallHeader(architecture, keys, 5, () => groupedQuery(smallHeads)));
    expect(layers.map(({ attention }) => (attention as { slidingWindow?: number }).slidingWindow)).toEqual(windows);
  });

  it("counts the keys by which a sparse layer chooses its tokens (GLM-5)", async () => {
    const demand = await demandOf(
      smallHeader("glm-dsa", { "attention.kv_lora_rank": 512 }, 1, () => ({
        attn_q_b: [4 * 192, hiddenSize],
        attn_kv_a_mqa: [576, hiddenSize],
        attn_kv_a_norm: [512],
        attn_output: [hiddenSize, 512],
        "indexer.attn_k": [128, hiddenSize],
      })),
    );
    expect(kvBytes(demand)).toEqual([1024 * (512 + 64 + 128) * 2]);
  });

  it("reads the cache of the last earlier layer that sees as far, and keeps none, where it has queries alone", async () => {
    const keys = { "attention.sliding_window": 128, "attention.sliding_window_pattern": [true, false, true, false] };
    const layers = await layersOf(
      smallHeader("yoco", keys, 4, (layer) =>
        layer < 2 ? groupedQuery(smallHeads) : { attn_q: [256, hiddenSize], attn_output: [hiddenSize, 256] },
      ),
    );
    expect(layers.slice(2).map(({ attention }) => attention)).toEqual([
      { kind: "shared", numHeads: 4, sourceLayer: 0 },
      { kind: "shared", numHeads: 4, sourceLayer: 1 },
    ]);
  });
});

describe("the units of a layer that shares its cache", () => {
  it("read what they do not keep", async () => {
    const demand = await demandOf(
      smallHeader("gemma3n", { "attention.shared_kv_layers": 1 }, 2, () => ({
        ...groupedQuery(smallHeads),
        ...gatedFeedForward(hiddenSize, 1024),
      })),
    );
    const bytes = demand.devices["cpu:0"]!.units["blk.1.attention"]!;
    expect(bytes).toMatchObject({ kvCacheBytes: 0, kvBytesPerToken: 2 * (64 + 64) * 2 });
    expect(demand.units.find(({ id }) => id === "blk.1.attention")!.kvCache).toEqual({
      multiplyAddsPerCachedToken: 4 * (64 + 64),
      stateBytesPerSequence: 0,
    });
    expect(demand.estimates.join(" ")).toMatch(/read the KV cache of an earlier one/);
  });
});
