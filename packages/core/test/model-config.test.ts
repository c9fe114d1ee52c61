/** What metadata means to each architecture: expected values are worked out from the published models and formulas by hand. */
import type { GgufValue } from "@thermocline/loader-gguf";
import { InvalidTensorError, type ModelConfig } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { listOffloadUnits, readModelConfig } from "../src/index.js";
import { f32, u32 } from "./support/random-architectures.js";
import { openRandomModel, type RandomModelName, type RandomModelOptions } from "./support/random-model.js";

async function configOf(name: RandomModelName, options: RandomModelOptions = {}): Promise<ModelConfig> {
  await using source = await openRandomModel(name, options);
  return readModelConfig(source);
}
const ropeOf = async (name: RandomModelName, options: RandomModelOptions = {}) => (await configOf(name, options)).layers[0]!.rope!;

describe("rope scaling", () => {
  it("none: has no factors", async () => {
    expect(await ropeOf("llama")).toEqual({ theta: 10_000, dims: 16, mode: "normal", magnitude: 1 });
    const keys = { "rope.scaling.type": "none", "rope.scaling.factor": f32(8) };
    expect(await ropeOf("llama", { keys })).toEqual(await ropeOf("llama"));
  });

  it.each<[string, RandomModelOptions["keys"]]>([
    ["by name", { "rope.scaling.type": "linear", "rope.scaling.factor": f32(4) }],
    ["by a factor alone", { "rope.scaling.factor": f32(4) }],
    ["by the older key", { "rope.scale_linear": f32(4) }],
  ])("linear, %s: divides every frequency", async (_, keys) => {
    expect(await ropeOf("llama", { keys: keys! })).toMatchObject({ magnitude: 1, frequencyFactors: { values: new Array(8).fill(4) } });
  });

  // With 32 rotated elements, base 10000 and 64 tokens, pair 32 · ln(64 / 2π) / (2 · ln 10000) = 4.03 turns once and none turns 32 times:
  // the ramp goes from pair 0 to pair 5.
  const yarn = { "rope.scaling.type": "yarn", "rope.scaling.factor": f32(4), "rope.scaling.original_context_length": u32(64) };
  const yarnRope = (keys: RandomModelOptions["keys"] = {}) => ropeOf("llama", { shape: { headDim: 32 }, keys: { ...yarn, ...keys } });
  const valuesOf = ({ frequencyFactors }: Awaited<ReturnType<typeof ropeOf>>) => (frequencyFactors as { values: readonly number[] }).values;

  it("yarn: keeps fast pairs, divides slow ones, ramps between, and raises the magnitude", async () => {
    const rope = await yarnRope();
    const expected = [1, 1 / 0.85, 1 / 0.7, 1 / 0.55, 1 / 0.4, ...new Array<number>(11).fill(4)];
    valuesOf(rope).forEach((value, pair) => {
      expect(value).toBeCloseTo(expected[pair]!, 12);
    });
    expect(rope.magnitude).toBeCloseTo(1 + 0.1 * Math.log(4), 12);
  });

  it("yarn: takes the bounds of its ramp and its magnitude from the file", async () => {
    // ln(64 / (2 · 2π)) gives pair 2.8, so that the ramp ends at pair 3; ln(64 / (8 · 2π)) gives 0.4, so that it begins at 0.
    const rope = await yarnRope({
      "rope.scaling.yarn_beta_fast": f32(8),
      "rope.scaling.yarn_beta_slow": f32(2),
      "rope.scaling.attn_factor": f32(2),
    });
    const expected = [1, 1 / 0.75, 1 / 0.5, ...new Array<number>(13).fill(4)];
    valuesOf(rope).forEach((value, pair) => {
      expect(value).toBeCloseTo(expected[pair]!, 12);
    });
    expect(rope.magnitude).toBeCloseTo(2 + 0.2 * Math.log(4), 6);
  });

  it("yarn without extrapolation: is linear", async () => {
    const rope = await yarnRope({ "rope.scaling.yarn_ext_factor": f32(0) });
    expect(rope).toMatchObject({ magnitude: 1, frequencyFactors: { values: new Array(16).fill(4) } });
  });

  it("by tensors of the file: names them", async () => {
    expect(await ropeOf("llama3-rope")).toMatchObject({ theta: 500_000, frequencyFactors: { tensor: "rope_freqs.weight" } });
    const rope = await ropeOf("phi3-longrope");
    expect(rope.magnitude).toBeCloseTo(1.19, 6);
    expect(rope.frequencyFactors).toEqual({
      shortTensor: "rope_factors_short.weight",
      longTensor: "rope_factors_long.weight",
      originalContextLength: 64,
    });
  });
});

describe("gemma", () => {
  it("2 sees a window in the first of every two layers, and caps scores and logits", async () => {
    const config = await configOf("gemma2");
    expect(config.layers.map(({ slidingWindow }) => slidingWindow)).toEqual([32, undefined, 32, undefined]);
    expect(config).toMatchObject({ embeddingScale: 8, attentionSoftcap: 4, logitSoftcap: 6, activation: "gelu" });
    expect(config.layers[0]!.attentionScale).toBe(1 / Math.sqrt(24));
  });

  it("2 has the published caps where the file names none, and none where it says 0", async () => {
    const unnamed = { attn_logit_softcapping: undefined, final_logit_softcapping: undefined };
    expect(await configOf("gemma2", { keys: unnamed })).toMatchObject({ attentionSoftcap: 50, logitSoftcap: 30 });
    const off = await configOf("gemma2", { keys: { attn_logit_softcapping: f32(0), final_logit_softcapping: f32(0) } });
    expect([off.attentionSoftcap, off.logitSoftcap]).toEqual([undefined, undefined]);
  });

  it("2 with 46 layers scales scores by a head's share of the hidden size", async () => {
    const { layers } = await configOf("gemma2", { shape: { numLayers: 46 } });
    expect(layers[0]!.attentionScale).toBe(1 / Math.sqrt(64 / 4));
  });

  it("3 sees everything in every sixth layer, with the file's base and scaling there alone", async () => {
    const { layers, embeddingScale, logitSoftcap, attentionSoftcap } = await configOf("gemma3");
    expect(layers.map(({ slidingWindow }) => slidingWindow)).toEqual([32, 32, 32, 32, 32, undefined, 32]);
    expect(layers.map(({ rope }) => rope!.theta)).toEqual([10_000, 10_000, 10_000, 10_000, 10_000, 1_000_000, 10_000]);
    expect(layers[5]!.rope).toMatchObject({ frequencyFactors: { values: new Array(8).fill(8) } });
    expect(layers[4]!.rope!.frequencyFactors).toBeUndefined();
    expect({ embeddingScale, logitSoftcap, attentionSoftcap }).toEqual({ embeddingScale: 8 });
  });

  it("3 keeps its local layers' base where their window is as long as the context", async () => {
    const { layers } = await configOf("gemma3", { keys: { "attention.sliding_window": u32(256) } });
    expect(layers.map(({ slidingWindow }) => slidingWindow)).toEqual(new Array(7).fill(undefined));
    expect(layers.map(({ rope }) => rope!.theta)).toEqual([10_000, 10_000, 10_000, 10_000, 10_000, 1_000_000, 10_000]);
  });

  it("3 without a window has global layers alone", async () => {
    const { layers } = await configOf("gemma3", { keys: { "attention.sliding_window": undefined } });
    expect(new Set(layers.map(({ rope }) => rope!.theta))).toEqual(new Set([1_000_000]));
  });

  it.each<[string, GgufValue, readonly number[]]>([
    ["a period", u32(3), [0, 1, 3, 4, 6]],
    ["a flag for each layer", [true, false, false, true, true, true, false], [0, 3, 4, 5]],
  ])("3 takes the layers that see a window from %s in the file", async (_, pattern, windowed) => {
    const { layers } = await configOf("gemma3", { keys: { "attention.sliding_window_pattern": pattern } });
    expect(layers.flatMap(({ slidingWindow }, layer) => (slidingWindow === 32 ? [layer] : []))).toEqual(windowed);
    expect(layers.flatMap(({ rope }, layer) => (rope!.theta === 10_000 ? [layer] : []))).toEqual(windowed);
  });

  it("2 takes the layers that see a window from the file", async () => {
    const { layers } = await configOf("gemma2", { keys: { "attention.sliding_window_pattern": u32(4) } });
    expect(layers.map(({ slidingWindow }) => slidingWindow)).toEqual([32, 32, 32, undefined]);
  });

  it("refuses flags for another number of layers", async () => {
    await expect(configOf("gemma3", { keys: { "attention.sliding_window_pattern": [true, false] } })).rejects.toThrow(InvalidTensorError);
  });

  it("3 with 62 layers scales scores by a head's share of the hidden size", async () => {
    const { layers } = await configOf("gemma3", { shape: { numLayers: 62 } });
    expect(layers[0]!.attentionScale).toBe(1 / Math.sqrt(64 / 4));
  });
});

describe("phi3", () => {
  it("sees a window where the file has one that is shorter than the context", async () => {
    const windowOf = async (window: number) =>
      (await configOf("phi3", { keys: { "attention.sliding_window": u32(window) } })).layers.map(({ slidingWindow }) => slidingWindow);
    expect(await windowOf(47)).toEqual([47, 47]);
    expect(await windowOf(262_144)).toEqual([undefined, undefined]);
    expect(await windowOf(0)).toEqual([undefined, undefined]);
  });
});

describe("llama", () => {
  it("sees a window in every layer where the file has one, as Mistral 7B's first version", async () => {
    const { layers } = await configOf("llama", { keys: { "attention.sliding_window": u32(64) } });
    expect(layers.map(({ slidingWindow }) => slidingWindow)).toEqual([64, 64, 64]);
  });

  it("loads beside an epsilon that its norms have no use for", async () => {
    const { normEps } = await configOf("llama", { keys: { "attention.layer_norm_epsilon": f32(0.5) } });
    expect(normEps).toBe(Math.fround(1e-6));
  });
});

describe("mixtures of experts", () => {
  it("have the size that the file gives to one expert", async () => {
    const experts = { count: 8, used: 2, feedForwardLength: 96, normalizeWeights: true };
    expect((await configOf("mixtral")).layers.map((layer) => layer.experts)).toEqual([experts, experts]);
    expect((await configOf("qwen3moe")).layers[0]).toMatchObject({ feedForwardLength: 96, experts: { count: 12, feedForwardLength: 32 } });
  });

  it("offer a router, and experts that are read as often as they are used", async () => {
    await using source = await openRandomModel("qwen3moe", { dtype: "f32" });
    const units = listOffloadUnits(source, readModelConfig(source));
    expect(units.map(({ id }) => id).slice(0, 4)).toEqual(["embedding", "blk.0.attention", "blk.0.router", "blk.0.experts"]);
    const [router, experts] = units.slice(2);
    expect(router).toMatchObject({ kind: "router", tensors: ["blk.0.ffn_norm.weight", "blk.0.ffn_gate_inp.weight"] });
    expect(router!.weights).toEqual([{ dtype: "f32", alwaysBytes: (64 + 12 * 64) * 4, conditionalBytes: 0 }]);
    expect(experts).toMatchObject({
      kind: "experts",
      rows: { count: 12, blockSize: 1 },
      weights: [{ dtype: "f32", alwaysBytes: 0, conditionalBytes: 3 * 12 * 32 * 64 * 4 }],
      activationFrequency: 4 / 12,
    });
    expect(new Set(units.flatMap(({ tensors }) => tensors))).toEqual(new Set(source.tensors.keys()));
  });
});

describe("offload units", () => {
  it("put post-norms and rope factors where they are read", async () => {
    await using gemma = await openRandomModel("gemma2");
    const unitOf = (name: string) => listOffloadUnits(gemma, readModelConfig(gemma)).find(({ tensors }) => tensors.includes(name))?.id;
    expect(unitOf("blk.1.post_attention_norm.weight")).toBe("blk.1.attention");
    expect(unitOf("blk.1.post_ffw_norm.weight")).toBe("blk.1.feed-forward");
    await using llama = await openRandomModel("llama3-rope");
    const units = listOffloadUnits(llama, readModelConfig(llama));
    expect(units.find(({ tensors }) => tensors.includes("rope_freqs.weight"))?.id).toBe("blk.0.attention");
  });
});
