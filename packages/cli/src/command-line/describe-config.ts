/** What a graph would compute with a file, for `inspect`: layers that are alike together. */
import { isDeepStrictEqual } from "node:util";
import type { LayerConfig, ModelConfig, RopeConfig } from "@thermocline/spec";
import { formatLayers } from "../format-layers.js";

export interface LayerGroup {
  /** Ascending. */
  readonly layers: readonly number[];
  readonly config: LayerConfig;
}

export function groupLayers({ layers }: Pick<ModelConfig, "layers">): readonly LayerGroup[] {
  const groups: { layers: number[]; config: LayerConfig }[] = [];
  for (const [layer, config] of layers.entries()) {
    const group = groups.find((known) => isDeepStrictEqual(known.config, config));
    if (group === undefined) groups.push({ layers: [layer], config });
    else group.layers.push(layer);
  }
  return groups;
}

/** Rows of a table: what, and its description. */
export function describeConfig(config: ModelConfig): readonly (readonly [string, string])[] {
  const { architecture, layers, hiddenSize, contextLength, pooling, attentionSoftcap, logitSoftcap, embeddingScale } = config;
  const groups = groupLayers(config);
  const byLayer = (describe: (layer: LayerConfig) => string) => describeByLayer(groups, describe);
  const particulars = [
    ...(attentionSoftcap === undefined ? [] : [`attention scores capped at ${round(attentionSoftcap)}`]),
    ...(logitSoftcap === undefined ? [] : [`logits capped at ${round(logitSoftcap)}`]),
    ...(embeddingScale === undefined ? [] : [`embeddings times ${round(embeddingScale)}`]),
    ...(pooling === undefined ? [] : [`vectors by ${pooling} pooling`]),
  ];
  return [
    ["graph", `${architecture}, ${layers.length} layers of ${hiddenSize}, context ${contextLength}`],
    ["attention", byLayer(describeAttention)],
    ["positions", byLayer(describePositions)],
    ["feed-forward", byLayer((layer) => describeFeedForward(layer, config))],
    ...(particulars.length === 0 ? [] : [["particulars", particulars.join(", ")] as const]),
  ];
}

/** "window 4096 (layers 0, 2, 4); all tokens (layers 1, 3, 5)", or the one description that all layers share. */
function describeByLayer(groups: readonly LayerGroup[], describe: (layer: LayerConfig) => string): string {
  const byText = new Map<string, number[]>();
  for (const { layers, config } of groups) {
    const text = describe(config);
    byText.set(text, [...(byText.get(text) ?? []), ...layers]);
  }
  if (byText.size <= 1) return [...byText.keys()].join("");
  return [...byText].map(([text, layers]) => `${text} (${formatLayers(layers)})`).join("; ");
}

function describeAttention({ numHeads, numKvHeads, headDimK, headDimV, slidingWindow }: LayerConfig): string {
  const size = headDimK === headDimV ? `${headDimK}` : `${headDimK} and ${headDimV}`;
  const window = slidingWindow === undefined ? "" : `, window of ${slidingWindow} tokens`;
  return `${numHeads} heads over ${numKvHeads} of keys and values, ${size} wide${window}`;
}

function describePositions({ rope }: LayerConfig): string {
  if (rope === undefined) return "not rotary";
  const { theta, dims, mode, magnitude } = rope;
  const scaled = describeScaling(rope);
  return `rotary (${mode}), ${dims} wide, theta ${round(theta)}${scaled}${magnitude === 1 ? "" : `, magnitude ${round(magnitude)}`}`;
}

function describeScaling({ frequencyFactors }: RopeConfig): string {
  if (frequencyFactors === undefined) return "";
  if ("values" in frequencyFactors) return ", scaled";
  if ("tensor" in frequencyFactors) return `, scaled by ${frequencyFactors.tensor}`;
  const { shortTensor, longTensor, originalContextLength } = frequencyFactors;
  return `, scaled by ${shortTensor}, above ${originalContextLength} tokens by ${longTensor}`;
}

function describeFeedForward({ feedForwardLength, experts }: LayerConfig, { activation }: ModelConfig): string {
  if (experts === undefined) return `${feedForwardLength} neurons, ${activation}`;
  return `${experts.count} experts of ${experts.feedForwardLength} neurons, ${experts.used} a token, ${activation}`;
}

/** Values of metadata are f32: seven digits tell them apart. */
function round(value: number): string {
  return String(Number(value.toPrecision(7)));
}
