/** Files that the graph cannot compute are refused with a typed error before anything is allocated. */
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import { buildGguf, openGguf } from "@thermocline/loader-gguf";
import { type DType, InvalidPlanError, InvalidTensorError, type PlacedPart, UnsupportedModelError } from "@thermocline/spec";
import { afterAll, describe, expect, it } from "vitest";
import { listOffloadUnits, placeOnOneDevice, readModelConfig } from "../src/index.js";
import { createTestEngine, ledgerFor } from "./support/embedded-model.js";

const hiddenSize = 64;
const feedForwardLength = 96;
const vocabSize = 50;

interface Changes {
  readonly architecture?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly withoutTensor?: string;
  readonly tensors?: Readonly<Record<string, readonly number[]>>;
}

async function openModel({ architecture = "llama", metadata = {}, withoutTensor, tensors = {} }: Changes = {}) {
  const u32 = (value: number) => ({ type: "u32", value }) as const;
  const entries: Record<string, unknown> = {
    "general.architecture": architecture,
    [`${architecture}.block_count`]: u32(1),
    [`${architecture}.embedding_length`]: u32(hiddenSize),
    [`${architecture}.context_length`]: u32(64),
    [`${architecture}.feed_forward_length`]: u32(feedForwardLength),
    [`${architecture}.attention.head_count`]: u32(4),
    [`${architecture}.attention.head_count_kv`]: u32(2),
    [`${architecture}.attention.layer_norm_rms_epsilon`]: { type: "f32", value: 1e-5 },
    ...metadata,
  };
  const shapes: Record<string, readonly number[]> = {
    "token_embd.weight": [vocabSize, hiddenSize],
    "output_norm.weight": [hiddenSize],
    "blk.0.attn_norm.weight": [hiddenSize],
    "blk.0.attn_q.weight": [hiddenSize, hiddenSize],
    "blk.0.attn_k.weight": [hiddenSize / 2, hiddenSize],
    "blk.0.attn_v.weight": [hiddenSize / 2, hiddenSize],
    "blk.0.attn_output.weight": [hiddenSize, hiddenSize],
    "blk.0.ffn_norm.weight": [hiddenSize],
    "blk.0.ffn_gate.weight": [feedForwardLength, hiddenSize],
    "blk.0.ffn_up.weight": [feedForwardLength, hiddenSize],
    "blk.0.ffn_down.weight": [hiddenSize, feedForwardLength],
    ...tensors,
  };
  const written = Object.entries(shapes).flatMap(([name, shape]) => {
    if (name === withoutTensor) return [];
    const numElements = shape.reduce((product, size) => product * size, 1);
    return [{ name, dtype: "f32" as DType, shape, data: new Uint8Array(new Float32Array(numElements).fill(0.01).buffer) }];
  });
  const bytes = await buildGguf({
    metadata: Object.entries(entries).filter(([, value]) => value !== undefined) as never,
    tensors: written,
  });
  return openGguf(new Blob([bytes as Uint8Array<ArrayBuffer>]));
}

const backend = createReferenceBackend();
afterAll(() => backend[Symbol.asyncDispose]());

async function refusalOf(changes: Changes): Promise<unknown> {
  await using source = await openModel(changes);
  const ledger = ledgerFor(backend);
  const outcome = await createTestEngine(source, [backend], { ledger, contextLength: 64 }).then(
    async (engine) => {
      await engine[Symbol.asyncDispose]();
      return "loaded";
    },
    (error: unknown) => error,
  );
  expect(ledger.report()).toEqual([]);
  expect(backend.statistics().allocatedBytes).toBe(0);
  return outcome;
}

describe("a file that the graph computes", () => {
  it("loads as it is", async () => {
    expect(await refusalOf({})).toBe("loaded");
  });

  it("loads with counts of 64 bits for each layer", async () => {
    const metadata = { "llama.attention.head_count": new BigUint64Array([4n]), "llama.feed_forward_length": new BigUint64Array([96n]) };
    expect(await refusalOf({ metadata })).toBe("loaded");
  });
});

describe("a file that asks for more than the graph has", () => {
  const f32 = (value: number) => ({ type: "f32", value }) as const;
  const u32 = (value: number) => ({ type: "u32", value }) as const;
  it.each<[string, Changes, string]>([
    ["an unknown architecture", { metadata: { "general.architecture": "mamba" } }, "general.architecture"],
    ["an unknown rope scaling", { metadata: { "llama.rope.scaling.type": "su" } }, "llama.rope.scaling.type"],
    ["a rope scaling without its factors", { metadata: { "llama.rope.scaling.type": "longrope" } }, "llama.rope.scaling.type"],
    [
      "two rope scalings at once",
      { metadata: { "llama.rope.scaling.factor": f32(4) }, tensors: { "rope_freqs.weight": [8] } },
      "llama.rope.scaling.factor",
    ],
    ["rope scaling by less than nothing", { metadata: { "llama.rope.scaling.factor": f32(-2) } }, "llama.rope.scaling.factor"],
    [
      "a magnitude beside YaRN's",
      {
        metadata: {
          "llama.rope.scaling.type": "yarn",
          "llama.rope.scaling.factor": f32(2),
          "llama.rope.scaling.yarn_attn_factor": f32(0.5),
        },
      },
      "llama.rope.scaling.yarn_attn_factor",
    ],
    ["keys of another scaling", { metadata: { "llama.rope.scaling.yarn_beta_fast": f32(16) } }, "llama.rope.scaling.yarn_beta_fast"],
    [
      "more experts a token than there are",
      { metadata: { "llama.expert_count": u32(2), "llama.expert_used_count": u32(3) } },
      "llama.expert_used_count",
    ],
    ["experts' keys without experts", { metadata: { "llama.expert_feed_forward_length": u32(8) } }, "llama.expert_feed_forward_length"],
    [
      "experts where the graph has none",
      { architecture: "qwen3", metadata: { "qwen3.expert_count": u32(2), "qwen3.expert_used_count": u32(1) } },
      "qwen3.expert_count",
    ],
    ["no experts where the graph needs them", { architecture: "qwen3moe" }, "qwen3moe.expert_count"],
    [
      "a cap below zero",
      { architecture: "gemma2", metadata: { "gemma2.attn_logit_softcapping": f32(-1) } },
      "gemma2.attn_logit_softcapping",
    ],
    ["a cap where the graph has none", { metadata: { "llama.final_logit_softcapping": f32(30) } }, "llama.final_logit_softcapping"],
    [
      "windows in some layers",
      { metadata: { "llama.attention.sliding_window_pattern": u32(2) } },
      "llama.attention.sliding_window_pattern",
    ],
    [
      "a part of a head",
      {
        metadata: {
          "llama.attention.head_count": f32(2.5),
          "llama.attention.head_count_kv": f32(2.5),
          "llama.attention.key_length": u32(16),
        },
      },
      "llama.attention.head_count_kv",
    ],
    ["an unknown activation", { metadata: { "llama.feed_forward.activation": "swish7" } }, "llama.feed_forward.activation"],
    ["a key that it does not know", { metadata: { "llama.logit_scale": f32(0.5) } }, "llama.logit_scale"],
    ["a negative epsilon", { metadata: { "llama.attention.layer_norm_rms_epsilon": f32(-1) } }, "llama.attention.layer_norm_rms_epsilon"],
    ["a rope base of zero", { metadata: { "llama.rope.freq_base": f32(0) } }, "llama.rope.freq_base"],
    ["a bias of the output", { tensors: { "blk.0.attn_output.bias": [hiddenSize] } }, "blk.0.attn_output.bias"],
    ["a norm that it lacks", { tensors: { "blk.0.attn_q_norm.weight": [16] } }, "blk.0.attn_q_norm.weight"],
    ["factors of a scaling that it does not ask for", { tensors: { "rope_factors_short.weight": [8] } }, "rope_factors_short.weight"],
    ["experts beside a dense layer", { tensors: { "blk.0.ffn_gate_exps.weight": [2, 96, hiddenSize] } }, "blk.0.ffn_gate_exps.weight"],
  ])("is refused for %s", async (_, changes, feature) => {
    const error = await refusalOf(changes);
    expect(error).toBeInstanceOf(UnsupportedModelError);
    expect(error).toMatchObject({ code: "unsupported-model", feature });
  });

  it.each<[string, Changes, string]>([
    ["a tensor is missing", { withoutTensor: "blk.0.ffn_up.weight" }, "blk.0.ffn_up.weight"],
    ["the embedding is missing", { withoutTensor: "token_embd.weight" }, "token_embd.weight"],
    [
      "a head has more elements than any tensor has rows",
      { metadata: { "llama.attention.key_length": u32(0xfffffffe), "llama.rope.scaling.factor": { type: "f32", value: 2 } } },
      "metadata llama.attention.key_length",
    ],
    ["the expert count has no use", { metadata: { "llama.expert_count": u32(2) } }, "metadata llama.expert_used_count"],
    [
      "experts are of another size",
      {
        metadata: { "llama.expert_count": u32(2), "llama.expert_used_count": u32(1) },
        tensors: { "blk.0.ffn_gate_inp.weight": [2, hiddenSize], "blk.0.ffn_gate_exps.weight": [2, 64, hiddenSize] },
      },
      "blk.0.ffn_gate_exps.weight",
    ],
    ["biases are missing", { architecture: "qwen2" }, "blk.0.attn_q.bias"],
    ["head norms are missing", { architecture: "qwen3" }, "blk.0.attn_q_norm.weight"],
    ["projections are not fused", { architecture: "phi3" }, "blk.0.attn_qkv.weight"],
    ["rope factors are of another size", { tensors: { "rope_freqs.weight": [16] } }, "rope_freqs.weight"],
    ["a tensor has another shape", { tensors: { "blk.0.attn_k.weight": [hiddenSize, hiddenSize] } }, "blk.0.attn_k.weight"],
    ["a key is missing", { metadata: { "llama.block_count": undefined } }, "metadata llama.block_count"],
    ["a key is no number", { metadata: { "llama.embedding_length": "wide" } }, "metadata llama.embedding_length"],
    ["a count is beyond the tensors", { metadata: { "llama.block_count": u32(1_000_000_000) } }, "metadata llama.block_count"],
    [
      "heads are counted for more layers than there are",
      { metadata: { "llama.attention.head_count": new BigUint64Array([4n, 4n]) } },
      "metadata llama.attention.head_count",
    ],
    ["a count is zero", { metadata: { "llama.block_count": u32(0) } }, "metadata llama.block_count"],
  ])("names what is wrong where %s", async (_, changes, tensor) => {
    const error = await refusalOf(changes);
    expect(error).toBeInstanceOf(InvalidTensorError);
    expect(error).toMatchObject({ code: "invalid-tensor", tensor });
  });
});

describe("a placement", () => {
  it("on a device that was not given is refused", async () => {
    await using source = await openModel();
    const placement = placeOnOneDevice(listOffloadUnits(source, readModelConfig(source)), "cpu:7");
    await expect(createTestEngine(source, [backend], { placement, contextLength: 64 })).rejects.toBeInstanceOf(InvalidPlanError);
  });

  const { id: device } = backend.device;
  it.each<[string, string, readonly PlacedPart[] | undefined]>([
    ["leaves a unit out", "head", undefined],
    ["gives a unit to nobody", "head", []],
    ["drops neurons", "blk.0.feed-forward", [{ device, rows: [[0, 48]] }]],
    [
      "counts neurons twice",
      "blk.0.feed-forward",
      [
        {
          device,
          rows: [
            [0, 64],
            [32, 64],
          ],
        },
      ],
    ],
    ["names neurons that are not there", "blk.0.feed-forward", [{ device, rows: [[0, 128]] }]],
    [
      "has an empty range",
      "blk.0.feed-forward",
      [
        {
          device,
          rows: [
            [0, 0],
            [0, 96],
          ],
        },
      ],
    ],
    [
      "names a device twice",
      "blk.0.feed-forward",
      [
        { device, rows: [[0, 48]] },
        { device, rows: [[48, 48]] },
      ],
    ],
    ["splits attention", "blk.0.attention", [{ device, rows: [[0, 4]] }]],
  ])("that %s is refused", async (_, unit, parts) => {
    await using source = await openModel();
    const placement = new Map(placeOnOneDevice(listOffloadUnits(source, readModelConfig(source)), device));
    if (parts === undefined) placement.delete(unit);
    else placement.set(unit, parts);
    const ledger = ledgerFor(backend);
    await expect(createTestEngine(source, [backend], { placement, ledger, contextLength: 64 })).rejects.toMatchObject({
      code: "invalid-plan",
      subject: unit,
    });
    expect(ledger.report()).toEqual([]);
  });
});

describe("offload units", () => {
  it("hold every tensor, in the order in which a token passes them", async () => {
    await using source = await openModel();
    const units = listOffloadUnits(source, readModelConfig(source));
    expect(units.map(({ id }) => id)).toEqual(["embedding", "blk.0.attention", "blk.0.feed-forward", "head"]);
    expect(units[2]?.rows).toEqual({ count: feedForwardLength, blockSize: 1 });
    // The head is tied to the embedding and reads it once more.
    expect(units[3]?.tensors).toEqual(["output_norm.weight", "token_embd.weight"]);
    expect(new Set(units.flatMap(({ tensors }) => tensors))).toEqual(new Set(source.tensors.keys()));
  });
});
