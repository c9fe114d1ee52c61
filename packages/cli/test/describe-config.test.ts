import type { LayerConfig, ModelConfig } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { describeConfig, groupLayers } from "../src/command-line/describe-config.js";
import { formatLayers } from "../src/format-layers.js";

const rope = { theta: 1e6, dims: 128, mode: "neox", magnitude: 1 } as const;
const layer: LayerConfig = {
  numHeads: 32,
  numKvHeads: 4,
  headDimK: 128,
  headDimV: 128,
  feedForwardLength: 768,
  attentionScale: 128 ** -0.5,
  rope,
};
const local: LayerConfig = { ...layer, slidingWindow: 1024, rope: { ...rope, theta: 10000, frequencyFactors: { values: [1, 2] } } };
const config: ModelConfig = {
  architecture: "a",
  vocabSize: 10,
  hiddenSize: 64,
  contextLength: 4096,
  normEps: 1e-6,
  activation: "silu",
  layers: [local, local, layer, local],
};

describe("what inspect says of a config", () => {
  it("tells layers apart where they differ, and only there", () => {
    expect(groupLayers(config).map(({ layers }) => layers)).toEqual([[0, 1, 3], [2]]);
    expect(describeConfig(config)).toEqual([
      ["graph", "a, 4 layers of 64, context 4096"],
      [
        "attention",
        "32 heads over 4 of keys and values, 128 wide, window of 1024 tokens (layers 0-1, 3); " +
          "32 heads over 4 of keys and values, 128 wide (layer 2)",
      ],
      ["positions", "rotary (neox), 128 wide, theta 10000, scaled (layers 0-1, 3); rotary (neox), 128 wide, theta 1000000 (layer 2)"],
      ["feed-forward", "768 neurons, silu"],
    ]);
  });

  it("names experts, scalings by tensors, caps and pooling", () => {
    const experts = { count: 8, used: 2, feedForwardLength: 512, normalizeWeights: true };
    const scaled = { ...rope, magnitude: 1.190238, frequencyFactors: { shortTensor: "s", longTensor: "l", originalContextLength: 4096 } };
    const rows = describeConfig({
      ...config,
      layers: [{ ...layer, experts, rope: scaled, headDimV: 64 }],
      embeddingScale: 8,
      attentionSoftcap: 50,
      logitSoftcap: 30,
      pooling: "cls",
    });
    expect(Object.fromEntries(rows)).toMatchObject({
      attention: "32 heads over 4 of keys and values, 128 and 64 wide",
      positions: "rotary (neox), 128 wide, theta 1000000, scaled by s, above 4096 tokens by l, magnitude 1.190238",
      "feed-forward": "8 experts of 512 neurons, 2 a token, silu",
      particulars: "attention scores capped at 50, logits capped at 30, embeddings times 8, vectors by cls pooling",
    });
    const { rope: _, ...still } = layer;
    expect(Object.fromEntries(describeConfig({ ...config, layers: [still] })).positions).toBe("not rotary");
  });

  it("writes runs of layers short", () => {
    expect(formatLayers([3])).toBe("layer 3");
    expect(formatLayers([4, 0, 1, 2, 7, 6])).toBe("layers 0-2, 4, 6-7");
  });
});
