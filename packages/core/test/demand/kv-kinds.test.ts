/**
 * KV caches of every kind, in bytes that are worked out by hand, beside what the formula gives that many estimators use: layers · KV heads ·
 * (hidden size / heads) · 2 · context · bytes. Its errors on real models have been measured and published; those figures follow here.
 */
import { createCpuTraits } from "@thermocline/cpu-kernels/traits";
import type { DemandSettings, ModelSource, OffloadUnit } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createEstimatedDemandModel } from "../../src/demand/estimated-demand-model.js";
import { gatedFeedForward, groupedQuery, type HeaderOptions, i32s, layered, openHeader } from "./shape-files.js";

const traits = createCpuTraits({ threads: 1 });
const f16Bytes = 2;

interface KvCase {
  readonly header: HeaderOptions;
  readonly settings: DemandSettings;
  /** By hand. */
  readonly kvCacheBytes: number;
  /** Of these, states that do not grow with the context. */
  readonly stateBytes?: number;
  /** Of the simple formula, without states: percent above the truth. */
  readonly naiveErrorPercent: number;
}

interface Naive {
  readonly numLayers: number;
  readonly numKvHeads: number;
  readonly hiddenSize: number;
  readonly numHeads: number;
}

const naiveOf = ({ header, settings }: KvCase): number => {
  const { block_count, embedding_length } = header.keys as Record<string, number>;
  const first = (value: unknown) => (typeof value === "number" ? value : Math.max(...(value as Int32Array)));
  const numHeads = first(header.keys["attention.head_count"]);
  const numKvHeads = first(header.keys["attention.head_count_kv"] ?? numHeads);
  const headDim = embedding_length! / numHeads;
  return block_count! * numKvHeads * headDim * 2 * settings.contextLength! * f16Bytes;
};

const qwen3 = { hiddenSize: 1024, numHeads: 16, numKvHeads: 8, keyLength: 128 };
const gemma3 = { hiddenSize: 5376, numHeads: 32, numKvHeads: 16, keyLength: 128 };
const qwen35 = { hiddenSize: 5120, numHeads: 24, numKvHeads: 4, keyLength: 256 };
const mimo = { hiddenSize: 4096, numHeads: 64, numKvHeads: 4, keyLength: 192, valueLength: 128 };
const gemma3n = { hiddenSize: 2048, numHeads: 8, numKvHeads: 2, keyLength: 256 };
const llama7b = { hiddenSize: 4096, numHeads: 32, numKvHeads: 32, keyLength: 128 };
const jamba = { hiddenSize: 4096, numHeads: 32, numKvHeads: 8, keyLength: 128 };
const nemotron = { hiddenSize: 4096, numHeads: 32, numKvHeads: 8, keyLength: 128 };

const keysOf = (numLayers: number, contextLength: number, { hiddenSize, numHeads, numKvHeads }: Omit<Naive, "numLayers">) => ({
  block_count: numLayers,
  context_length: contextLength,
  embedding_length: hiddenSize,
  "attention.head_count": numHeads,
  "attention.head_count_kv": numKvHeads,
});

const lengths = (keyLength: number, valueLength = keyLength) => ({
  "attention.key_length": keyLength,
  "attention.value_length": valueLength,
});

/** DeepSeek's attention: a projection to the latent and a rotary part, shared by all heads. */
const latent = (hiddenSize: number, numHeads: number) => ({
  attn_norm: [hiddenSize],
  attn_q_a: [1536, hiddenSize],
  attn_q_a_norm: [1536],
  attn_q_b: [numHeads * 192, 1536],
  attn_kv_a_mqa: [512 + 64, hiddenSize],
  attn_kv_a_norm: [512],
  attn_k_b: [numHeads, 512, 128],
  attn_v_b: [numHeads, 128, 512],
  attn_output: [hiddenSize, numHeads * 128],
});

const mamba1 = (hiddenSize: number) => ({
  attn_norm: [hiddenSize],
  ssm_in: [2 * 8192, hiddenSize],
  ssm_conv1d: [8192, 4],
  ssm_x: [256 + 2 * 16, 8192],
  ssm_dt: [8192, 256],
  ssm_out: [hiddenSize, 8192],
});

const mamba2 = (hiddenSize: number) => ({
  attn_norm: [hiddenSize],
  ssm_in: [2 * 8192 + 2 * 8 * 128 + 128, hiddenSize],
  ssm_conv1d: [8192 + 2 * 8 * 128, 4],
  ssm_norm: [8, 1024],
  ssm_out: [hiddenSize, 8192],
});

const cases: Readonly<Record<string, KvCase>> = {
  "heads longer than hidden size over heads (Qwen3-0.6B)": {
    header: {
      architecture: "qwen3",
      keys: { ...keysOf(28, 40_960, qwen3), ...lengths(128) },
      tensors: layered(28, qwen3, () => ({ ...groupedQuery(qwen3), ...gatedFeedForward(1024, 3072) })),
    },
    settings: { contextLength: 4096 },
    // 28 layers, 4096 tokens, 8 heads of 128 for keys and as many for values
    kvCacheBytes: 28 * 4096 * 8 * (128 + 128) * 2,
    // 1024 / 16 is 64 where a head has 128
    naiveErrorPercent: -50,
  },
  "sliding windows, every sixth layer global (Gemma-3-27B)": {
    header: {
      architecture: "gemma3",
      keys: { ...keysOf(62, 131_072, gemma3), ...lengths(128), "attention.sliding_window": 1024 },
      tensors: layered(62, gemma3, () => ({ ...groupedQuery(gemma3), ...gatedFeedForward(5376, 21_504) })),
    },
    settings: { contextLength: 131_072, maxBatchTokens: 256 },
    // 10 layers (5, 11 … 59) see 131072 tokens. 52 see 1024 and a chunk of 256, in ⌈1280 / 32⌉ + 1 = 41 blocks of 32: 1312.
    kvCacheBytes: (10 * 131_072 + 52 * 1312) * 16 * (128 + 128) * 2,
    // Published: +682 against windows alone; (62 · 131072 · 168) / ((10 · 131072 + 52 · 1024) · 128) = 7.82. The chunk makes it 7.73.
    naiveErrorPercent: 673.5,
  },
  "multi-head latent attention (DeepSeek-V3)": {
    header: {
      architecture: "deepseek2",
      keys: {
        ...keysOf(61, 163_840, { hiddenSize: 7168, numHeads: 128, numKvHeads: 1 }),
        ...lengths(576, 512),
        "attention.key_length_mla": 192,
        "attention.value_length_mla": 128,
        "attention.kv_lora_rank": 512,
        "rope.dimension_count": 64,
      },
      tensors: layered(61, { hiddenSize: 7168 }, () => ({ ...latent(7168, 128), ...gatedFeedForward(7168, 2048) })),
    },
    settings: { contextLength: 4096 },
    // one latent of 512 and a rotary part of 64; values are a view of the latent
    kvCacheBytes: 61 * 4096 * (512 + 64) * 2,
    // 7168 / 128 · 2 = 112 of 576; published: -81
    naiveErrorPercent: -80.6,
  },
  "multi-head latent attention under keys that name every head": {
    header: {
      architecture: "deepseek2",
      keys: {
        ...keysOf(61, 163_840, { hiddenSize: 7168, numHeads: 128, numKvHeads: 128 }),
        ...lengths(192, 128),
        "attention.kv_lora_rank": 512,
        "rope.dimension_count": 64,
      },
      tensors: layered(61, { hiddenSize: 7168 }, () => ({ ...latent(7168, 128), ...gatedFeedForward(7168, 2048) })),
    },
    settings: { contextLength: 4096 },
    kvCacheBytes: 61 * 4096 * (512 + 64) * 2,
    // 128 heads of 56, twice: 14336 of 576
    naiveErrorPercent: 2388.9,
  },
  "multi-head latent attention of fewer heads (GLM-5)": {
    header: {
      architecture: "glm-dsa",
      keys: { ...keysOf(78, 202_752, { hiddenSize: 6144, numHeads: 64, numKvHeads: 1 }), "rope.dimension_count": 64 },
      tensors: layered(78, { hiddenSize: 6144 }, () => ({ ...latent(6144, 64), ...gatedFeedForward(6144, 2048) })),
    },
    settings: { contextLength: 4096 },
    kvCacheBytes: 78 * 4096 * (512 + 64) * 2,
    // 6144 / 64 · 2 = 192 of 576; published: -67
    naiveErrorPercent: -66.7,
  },
  "full attention in every fourth layer, gated delta rules between (Qwen3.5-27B)": {
    header: {
      architecture: "qwen35",
      keys: {
        ...keysOf(64, 262_144, qwen35),
        ...lengths(256),
        full_attention_interval: 4,
        "ssm.conv_kernel": 4,
        "ssm.state_size": 128,
        "ssm.inner_size": 6144,
        "ssm.group_count": 16,
        "ssm.time_step_rank": 48,
      },
      tensors: layered(64, qwen35, (layer) => ({
        ...((layer + 1) % 4 === 0
          ? { ...groupedQuery(qwen35), attn_q: [2 * 24 * 256, 5120] }
          : { attn_norm: [5120], attn_qkv: [10_240, 5120], attn_gate: [6144, 5120], ssm_conv1d: [10_240, 4], ssm_out: [5120, 6144] }),
        ...gatedFeedForward(5120, 17_408),
      })),
    },
    settings: { contextLength: 4096, maxSequences: 2 },
    // 16 layers keep 4 heads of 256 of two sequences …
    kvCacheBytes: 16 * 2 * 4096 * 4 * (256 + 256) * 2 + 48 * 2 * 4 * (10_240 * 3 + 128 * 6144),
    // … 48 the last 3 of 4 inputs of 6144 + 2 · 16 · 128 channels, and 48 heads' states of 128 by 128
    stateBytes: 48 * 2 * 4 * (10_240 * 3 + 128 * 6144),
    // of one sequence: 64 · 5120 / 24 over 16 · 256; published: +233
    naiveErrorPercent: 233.3,
  },
  "attention in one layer of eight, Mamba in the others (Jamba)": {
    header: {
      architecture: "jamba",
      keys: {
        ...keysOf(32, 262_144, jamba),
        "attention.head_count_kv": i32s(Array.from({ length: 32 }, (_, layer) => (layer % 8 === 4 ? 8 : 0))),
        "ssm.conv_kernel": 4,
        "ssm.state_size": 16,
        "ssm.inner_size": 8192,
        "ssm.time_step_rank": 256,
      },
      tensors: layered(32, jamba, (layer) => ({
        ...(layer % 8 === 4 ? groupedQuery(jamba) : mamba1(4096)),
        ...gatedFeedForward(4096, 14_336),
      })),
    },
    settings: { contextLength: 8192 },
    // 4 layers of 8 heads; 28 with 3 inputs of 8192 channels, each with a state of 16
    kvCacheBytes: 4 * 8192 * 8 * (128 + 128) * 2 + 28 * 4 * (8192 * 3 + 8192 * 16),
    stateBytes: 28 * 4 * (8192 * 3 + 8192 * 16),
    // 32 layers of 4
    naiveErrorPercent: 700,
  },
  "layers of attention alone, of Mamba 2 alone and of neurons alone (Nemotron-H)": {
    header: {
      architecture: "nemotron_h",
      keys: {
        ...keysOf(52, 8192, nemotron),
        "attention.head_count_kv": i32s(Array.from({ length: 52 }, (_, layer) => (layer % 13 === 7 ? 8 : 0))),
        ...lengths(128),
        "ssm.conv_kernel": 4,
        "ssm.state_size": 128,
        "ssm.inner_size": 8192,
        "ssm.group_count": 8,
      },
      tensors: layered(52, nemotron, (layer) => {
        if (layer % 13 === 7) return groupedQuery(nemotron);
        return layer % 2 === 0 ? mamba2(4096) : { attn_norm: [4096], ffn_up: [21_504, 4096], ffn_down: [4096, 21_504] };
      }),
    },
    settings: { contextLength: 8192 },
    // Layers 7, 20, 33 and 46 attend; of the 26 even ones 20 and 46 do, which leaves 24 with a state of 128 a channel and 3 inputs of 10240.
    kvCacheBytes: 4 * 8192 * 8 * (128 + 128) * 2 + 24 * 4 * (10_240 * 3 + 128 * 8192),
    stateBytes: 24 * 4 * (10_240 * 3 + 128 * 8192),
    // 52 layers of 4
    naiveErrorPercent: 1200,
  },
  "keys longer than values": {
    header: {
      architecture: "mimo2",
      keys: { ...keysOf(48, 262_144, mimo), ...lengths(192, 128) },
      tensors: layered(48, mimo, () => ({ ...groupedQuery(mimo), ...gatedFeedForward(4096, 2048) })),
    },
    settings: { contextLength: 4096 },
    kvCacheBytes: 48 * 4096 * 4 * (192 + 128) * 2,
    // 2 · 64 of 320
    naiveErrorPercent: -60,
  },
  "the last layers read caches of earlier ones (Gemma-3n-E2B)": {
    header: {
      architecture: "gemma3n",
      keys: {
        ...keysOf(30, 32_768, gemma3n),
        ...lengths(256),
        "attention.sliding_window": 512,
        "attention.sliding_window_pattern": Array.from({ length: 30 }, (_, layer) => (layer + 1) % 5 !== 0),
        "attention.shared_kv_layers": 10,
        "altup.num_inputs": 4,
      },
      tensors: layered(30, gemma3n, () => ({ ...groupedQuery(gemma3n), ...gatedFeedForward(2048, 8192) })),
    },
    settings: { contextLength: 32_768, maxBatchTokens: 256 },
    // Of 20 layers with caches 4, 9, 14 and 19 see all; 16 see 512 and a chunk of 256, in ⌈768 / 32⌉ + 1 = 25 blocks: 800 tokens.
    kvCacheBytes: (4 * 32_768 + 16 * 800) * 2 * (256 + 256) * 2,
    // 30 · 32768 over 4 · 32768 + 16 · 800
    naiveErrorPercent: 583.3,
  },
  "head counts that differ by layer (OpenELM)": {
    header: {
      architecture: "openelm",
      keys: {
        ...keysOf(4, 2048, { hiddenSize: 1280, numHeads: 12, numKvHeads: 3 }),
        "attention.head_count": i32s([12, 12, 16, 20]),
        "attention.head_count_kv": i32s([3, 3, 4, 5]),
        ...lengths(64),
      },
      tensors: layered(4, { hiddenSize: 1280 }, (layer) => ({
        attn_norm: [1280],
        attn_qkv: [([12, 12, 16, 20][layer]! + 2 * [3, 3, 4, 5][layer]!) * 64, 1280],
        attn_output: [1280, [12, 12, 16, 20][layer]! * 64],
        ...gatedFeedForward(1280, [768, 1024, 2048, 5120][layer]!),
      })),
    },
    settings: { contextLength: 2048 },
    kvCacheBytes: 2048 * (3 + 3 + 4 + 5) * (64 + 64) * 2,
    // 4 layers of 5 heads over 15, and 1280 / 20 = 64 is right
    naiveErrorPercent: 33.3,
  },
  "as many KV heads as heads, in files of the first years (Llama-2-7B)": {
    header: {
      architecture: "llama",
      keys: { ...keysOf(32, 4096, llama7b), "attention.head_count_kv": undefined },
      tensors: layered(32, llama7b, () => ({ ...groupedQuery(llama7b), ...gatedFeedForward(4096, 11_008) })),
    },
    settings: { contextLength: 4096 },
    kvCacheBytes: 32 * 4096 * 32 * (128 + 128) * 2,
    naiveErrorPercent: 0,
  },
};

const sumOf = (units: readonly OffloadUnit[], bytesOf: (unit: OffloadUnit) => number) =>
  units.reduce((sum, unit) => sum + bytesOf(unit), 0);

describe("the KV cache of a header", () => {
  it.each(Object.entries(cases))("counts %s", async (_, kvCase) => {
    const { header, settings, kvCacheBytes, stateBytes = 0, naiveErrorPercent } = kvCase;
    await using source: ModelSource = await openHeader(header);
    const { units, devices } = createEstimatedDemandModel(source).demandOf([{ id: "cpu:0", traits }], settings);
    expect(sumOf(units, ({ id }) => devices["cpu:0"]!.units[id]!.kvCacheBytes)).toBe(kvCacheBytes);
    const { maxSequences = 1 } = settings;
    expect(sumOf(units, ({ kvCache }) => maxSequences * (kvCache?.stateBytesPerSequence ?? 0))).toBe(stateBytes);
    const ofOneSequence = (kvCacheBytes - stateBytes) / maxSequences;
    expect(100 * (naiveOf(kvCase) / ofOneSequence - 1)).toBeCloseTo(naiveErrorPercent, 1);
  });
});
