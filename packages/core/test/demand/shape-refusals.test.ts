/** Headers that contradict themselves, lack something or ask for the impossible: each is refused with what is wrong and where, and none crashes. */

import { createCpuTraits } from "@thermocline/cpu-kernels/traits";
import type { GgufValue } from "@thermocline/loader-gguf";
import { InvalidRequestError, InvalidTensorError, type ModelSource, ThermoclineError, UnsupportedModelError } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createEstimatedDemandModel } from "../../src/demand/estimated-demand-model.js";
import { gatedFeedForward, groupedQuery, type HeaderOptions, i32s, layered, openHeader, type Shapes } from "./shape-files.js";

const cpu = { id: "cpu:0", traits: createCpuTraits({ threads: 1 }) };
const hiddenSize = 256;
const heads = { hiddenSize, numHeads: 4, numKvHeads: 2, keyLength: 64 };
const u64 = (value: bigint): GgufValue => ({ type: "u64", value });
const f32 = (value: number): GgufValue => ({ type: "f32", value });

const keys: HeaderOptions["keys"] = {
  block_count: 2,
  context_length: 4096,
  embedding_length: hiddenSize,
  "attention.head_count": 4,
  "attention.head_count_kv": 2,
  "attention.key_length": 64,
  "attention.value_length": 64,
};
const dense: Shapes = { ...groupedQuery(heads), ...gatedFeedForward(hiddenSize, 512) };
const stateSpace: Shapes = { attn_norm: [hiddenSize], ssm_conv1d: [512 + 2 * 64, 4], ssm_out: [hiddenSize, 512] };
const stateKeys = { "ssm.conv_kernel": 4, "ssm.state_size": 64, "ssm.inner_size": 512, "ssm.group_count": 1 };
const pool: Shapes = { ffn_gate_inp: [8, hiddenSize], ffn_up_exps: [8, 512, hiddenSize], ffn_down_exps: [8, hiddenSize, 512] };
const latent: Shapes = { attn_q: [4 * 192, hiddenSize], attn_kv_a_mqa: [576, hiddenSize], attn_kv_a_norm: [512] };

const without = (shapes: Shapes, ...names: readonly string[]): Shapes =>
  Object.fromEntries(Object.entries(shapes).filter(([name]) => !names.includes(name)));

interface Refusal {
  readonly keys?: HeaderOptions["keys"];
  readonly layer?: Shapes;
  readonly tensors?: Shapes;
  readonly error: typeof InvalidTensorError | typeof UnsupportedModelError;
  readonly message: RegExp;
}

const refusals: Readonly<Record<string, Refusal>> = {
  "no layers": { tensors: { "token_embd.weight": [512, hiddenSize] }, error: UnsupportedModelError, message: /no layers of a decoder/ },
  "an encoder's layers alone": {
    tensors: { "token_embd.weight": [512, hiddenSize], "enc.blk.0.attn_k.weight": [256, 256] },
    error: UnsupportedModelError,
    message: /no layers of a decoder/,
  },
  "no count of layers": { keys: { block_count: undefined }, error: InvalidTensorError, message: /unknown\.block_count.*none/ },
  "more layers than tensors": {
    keys: { block_count: 4_000_000_000 },
    error: InvalidTensorError,
    message: /block_count.*at most the file's/,
  },
  "more layers than the tensors are of": {
    keys: { block_count: 3 },
    error: InvalidTensorError,
    message: /blk\.2\..*tensors of each of 3 layers/,
  },
  "tensors of a layer beyond the count": {
    keys: { block_count: 1 },
    error: InvalidTensorError,
    message: /blk\.1\..*below unknown\.block_count, 1/,
  },
  "a count of layers that is no number": { keys: { block_count: "two" }, error: InvalidTensorError, message: /block_count.*two/ },
  "no hidden size": { keys: { embedding_length: undefined }, error: InvalidTensorError, message: /embedding_length/ },
  "a hidden size of 0": { keys: { embedding_length: 0 }, error: InvalidTensorError, message: /embedding_length.*positive whole number/ },
  "no context": { keys: { context_length: undefined }, error: InvalidTensorError, message: /context_length/ },
  "a context beyond all numbers": { keys: { context_length: u64(2n ** 63n) }, error: InvalidTensorError, message: /context_length/ },
  "no heads": { keys: { "attention.head_count": undefined }, error: UnsupportedModelError, message: /layer 0 has keys, but 0 heads/ },
  "heads of NaN": { keys: { "attention.head_count": f32(Number.NaN) }, error: UnsupportedModelError, message: /attention\.head_count/ },
  "half a head": { keys: { "attention.head_count_kv": f32(0.5) }, error: UnsupportedModelError, message: /0\.5 heads cannot be/ },
  "KV heads of too few layers": {
    keys: { "attention.head_count_kv": i32s([2]) },
    error: InvalidTensorError,
    message: /head_count_kv.*a number, or 2 of them/,
  },
  "negative KV heads": { keys: { "attention.head_count_kv": i32s([2, -2]) }, error: UnsupportedModelError, message: /-2 heads cannot be/ },
  "keys in a layer that has no KV heads": {
    keys: { "attention.head_count_kv": i32s([2, 0]) },
    error: UnsupportedModelError,
    message: /layer 1 has keys/,
  },
  "KV heads that the key projection does not have": {
    keys: { "attention.head_count_kv": 4 },
    error: InvalidTensorError,
    message: /blk\.0\.attn_k\.weight: expected 256 rows.*128 rows/,
  },
  "a key length that the projection does not have": {
    keys: { "attention.key_length": 128 },
    error: InvalidTensorError,
    message: /blk\.0\.attn_k\.weight: expected 256 rows/,
  },
  "a value length that the projection does not have": {
    keys: { "attention.value_length": 32 },
    error: InvalidTensorError,
    message: /blk\.0\.attn_v\.weight: expected 64 rows/,
  },
  "a key length beyond all tensors": {
    keys: { "attention.key_length": 4_000_000_000 },
    error: InvalidTensorError,
    message: /attn_k\.weight: expected 8000000000 rows/,
  },
  "a fused projection of other rows than its heads": {
    layer: { attn_qkv: [500, hiddenSize], attn_output: [hiddenSize, 256] },
    error: InvalidTensorError,
    message: /attn_qkv\.weight: expected 512 rows/,
  },
  "a key projection that is no matrix": {
    layer: { ...dense, attn_k: [128] },
    error: InvalidTensorError,
    message: /attn_k\.weight: expected a matrix/,
  },
  "queries without keys anywhere": {
    layer: without(dense, "attn_k", "attn_v"),
    error: InvalidTensorError,
    message: /blk\.0\.attn_k\.weight: expected keys/,
  },
  "keys of an unknown kind": {
    layer: { attn_q: [256, hiddenSize], attn_kv_compressed: [64, hiddenSize] },
    error: UnsupportedModelError,
    message: /form that is not known here.*attn_kv_compressed/,
  },
  "caches of compressed tokens": {
    keys: { "attention.compress_ratios": i32s([4, 128]) },
    error: UnsupportedModelError,
    message: /attention\.compress_ratios/,
  },
  "layers that run several times": { keys: { num_loops: 4 }, error: UnsupportedModelError, message: /num_loops/ },
  "more shared caches than layers": {
    keys: { "attention.shared_kv_layers": 2 },
    error: InvalidTensorError,
    message: /shared_kv_layers.*below the 2 layers/,
  },
  "more layers ahead than layers": { keys: { nextn_predict_layers: 2 }, error: UnsupportedModelError, message: /nextn_predict_layers/ },
  "a negative window": {
    keys: { "attention.sliding_window": { type: "i32", value: -1 } },
    error: InvalidTensorError,
    message: /attention\.sliding_window/,
  },
  "a pattern of windows for other layers": {
    keys: { "attention.sliding_window": 100, "attention.sliding_window_pattern": [true] },
    error: InvalidTensorError,
    message: /sliding_window_pattern.*2 bools/,
  },
  "a pattern of no layers": {
    keys: { "attention.sliding_window": 100, "attention.sliding_window_pattern": 0 },
    error: InvalidTensorError,
    message: /sliding_window_pattern/,
  },
  "a latent that its norm is not of": {
    keys: { "attention.kv_lora_rank": 256 },
    layer: latent,
    error: InvalidTensorError,
    message: /kv_lora_rank: expected 512/,
  },
  "a latent of more than its projection": {
    layer: { ...latent, attn_kv_a_norm: [600] },
    error: InvalidTensorError,
    message: /attn_kv_a_mqa\.weight: expected the 600 rows/,
  },
  "a latent of unknown length": { layer: without(latent, "attn_kv_a_norm"), error: InvalidTensorError, message: /kv_lora_rank.*none/ },
  "a state of unknown size": {
    keys: { ...stateKeys, "ssm.state_size": undefined },
    layer: stateSpace,
    error: InvalidTensorError,
    message: /ssm\.state_size/,
  },
  "a state that the convolution has no room for": {
    keys: { ...stateKeys, "ssm.state_size": 4_000_000_000 },
    layer: stateSpace,
    error: InvalidTensorError,
    message: /ssm_conv1d\.weight: expected 8000000512 channels/,
  },
  "another inner size than the output's": {
    keys: { ...stateKeys, "ssm.inner_size": 1024 },
    layer: stateSpace,
    error: InvalidTensorError,
    message: /ssm\.inner_size: expected 512/,
  },
  "another kernel than the convolution's": {
    keys: { ...stateKeys, "ssm.conv_kernel": 3 },
    layer: stateSpace,
    error: InvalidTensorError,
    message: /ssm\.conv_kernel: expected 4/,
  },
  "heads of a recurrence that do not divide": {
    keys: { "wkv.head_size": 60 },
    layer: { time_mix_key: [256, 256] },
    error: InvalidTensorError,
    message: /wkv\.head_size: expected a divisor/,
  },
  "experts of unknown use": { layer: { ...groupedQuery(heads), ...pool }, error: InvalidTensorError, message: /expert_used_count.*none/ },
  "more experts used than there are": {
    keys: { expert_used_count: 9 },
    layer: { ...groupedQuery(heads), ...pool },
    error: UnsupportedModelError,
    message: /9 of 8 experts cannot be used/,
  },
  "another count of experts than the tensors'": {
    keys: { expert_count: 16, expert_used_count: 2 },
    layer: { ...groupedQuery(heads), ...pool },
    error: InvalidTensorError,
    message: /expert_count: expected 8/,
  },
  "pools of different counts": {
    keys: { expert_used_count: 2 },
    layer: { ...groupedQuery(heads), ...pool, ffn_gate_exps: [4, 512, hiddenSize] },
    error: InvalidTensorError,
    message: /experts, as the layer's other tensors have/,
  },
  "neurons that do not meet": {
    layer: { ...dense, ffn_up: [300, hiddenSize] },
    error: InvalidTensorError,
    message: /ffn_up\.weight: expected a row for each of 512 neurons/,
  },
  "an embedding that is no matrix": {
    tensors: { ...layered(2, { hiddenSize }, () => dense), "token_embd.weight": [512] },
    error: InvalidTensorError,
    message: /token_embd\.weight/,
  },
  "an embedding of no tokens": {
    tensors: { ...layered(2, { hiddenSize }, () => dense), "token_embd.weight": [0, hiddenSize] },
    error: InvalidTensorError,
    message: /token_embd\.weight: expected a row for each token/,
  },
  "a network of no neurons": {
    layer: { ...dense, ffn_down: [hiddenSize, 0], ffn_up: [0, hiddenSize], ffn_gate: [0, hiddenSize] },
    error: InvalidTensorError,
    message: /ffn_down\.weight: expected neurons/,
  },
  "no embedding": {
    tensors: Object.fromEntries(Object.entries(layered(2, { hiddenSize }, () => dense)).filter(([name]) => name !== "token_embd.weight")),
    error: InvalidTensorError,
    message: /token_embd\.weight/,
  },
};

const open = ({ keys: changed, layer = dense, tensors }: Pick<Refusal, "keys" | "layer" | "tensors">): Promise<ModelSource> =>
  openHeader({ architecture: "unknown", keys: { ...keys, ...changed }, tensors: tensors ?? layered(2, { hiddenSize }, () => layer) });

/** The same tensors under other metadata. */
const withMetadata = (source: ModelSource, metadata: ReadonlyMap<string, unknown>): ModelSource => ({
  metadata,
  tensors: source.tensors,
  shards: source.shards,
  identity: source.identity,
  read: (shard, range, options) => source.read(shard, range, options),
  [Symbol.asyncDispose]: async () => {},
});

describe("a header with", () => {
  it.each(Object.entries(refusals))("%s is refused", async (_, refusal) => {
    await using source = await open(refusal);
    const read = () => createEstimatedDemandModel(source);
    expect(read).toThrow(refusal.error);
    expect(read).toThrow(refusal.message);
    expect(read).toThrow(expect.objectContaining({ cure: expect.stringMatching(/./) }));
  });

  it("nothing wrong is read, so that the others are refused for what they change", async () => {
    for (const sound of [
      {},
      { keys: stateKeys, layer: stateSpace },
      { keys: { expert_used_count: 2 }, layer: { ...groupedQuery(heads), ...pool } },
      { layer: latent },
    ]) {
      await using source = await open(sound);
      expect(createEstimatedDemandModel(source).demandOf([cpu], {}).units.length).toBeGreaterThan(0);
    }
  });

  it("no architecture is refused", async () => {
    await using source = await open({});
    const metadata = new Map([...source.metadata].filter(([key]) => key !== "general.architecture"));
    expect(() => createEstimatedDemandModel({ ...source, tensors: source.tensors, metadata } as ModelSource)).toThrow(
      UnsupportedModelError,
    );
  });

  it("any one number replaced by any other is read or refused, and every figure is a number", async () => {
    // As the loader gives them.
    const hostile: readonly unknown[] = [
      ...[0, 1, 3, 4_294_967_295, 2n ** 64n - 1n, -1, Number.NaN, Number.POSITIVE_INFINITY, 0.5, "4", true],
      ...[Int32Array.of(), Int32Array.of(-1, 7), BigUint64Array.of(2n ** 64n - 1n, 1n), [true, false], []],
    ];
    const models: readonly Pick<Refusal, "keys" | "layer">[] = [
      { keys: { "attention.sliding_window": 100, "attention.sliding_window_pattern": 2, nextn_predict_layers: 0 } },
      { keys: { ...stateKeys, expert_count: 8, expert_used_count: 2 }, layer: { ...stateSpace, ...pool } },
      { keys: { "attention.kv_lora_rank": 512, "attention.shared_kv_layers": 1, "altup.num_inputs": 1 }, layer: latent },
      { keys: { "kda.head_dim": 64 }, layer: { ...groupedQuery(heads), ssm_conv1d_q: [256, 4] } },
      { keys: { "wkv.head_size": 64, token_shift_count: 2 }, layer: { time_mix_key: [256, 256], channel_mix_key: [896, 256] } },
    ];
    const wrong: string[] = [];
    let numRead = 0;
    let numRefused = 0;
    for (const model of models) {
      await using source = await open(model);
      for (const key of Object.keys({ ...keys, ...model.keys })) {
        for (const value of hostile) {
          const metadata = new Map([...source.metadata, [`unknown.${key}`, value]]);
          try {
            const demand = createEstimatedDemandModel(withMetadata(source, metadata)).demandOf([cpu], { contextLength: 1 });
            JSON.stringify(demand, (name, figure) => {
              if (typeof figure === "number" && !(Number.isFinite(figure) && figure >= -1))
                wrong.push(`${key} ${String(value)}: ${name} is ${figure}`);
              return figure;
            });
            numRead++;
          } catch (error) {
            expect(ThermoclineError.isInstance(error), `${key}: ${error}`).toBe(true);
            numRefused++;
          }
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(numRead).toBeGreaterThan(50);
    expect(numRefused).toBeGreaterThan(300);
  });
});

describe("settings that a model or a device does not allow", () => {
  it.each([
    ["a context past the model's", { contextLength: 4097 }, /trained for 4096/],
    ["a context of none", { contextLength: 0 }, /positive whole number/],
    ["a dtype without caches", { keyCacheDType: "q6_k" }, /no caches of/],
  ] as const)("%s is refused", async (_, settings, message) => {
    await using source = await open({});
    const ask = () => createEstimatedDemandModel(source).demandOf([cpu], settings);
    expect(ask).toThrow(InvalidRequestError);
    expect(ask).toThrow(message);
  });
});
