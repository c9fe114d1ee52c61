/** BERT's keys: no rotary positions, layer norms, attention over the whole text, and how its vectors are pooled. */
import { InvalidTensorError, type LayerConfig, type ModelConfig, type Pooling } from "@thermocline/spec";
import type { ArchitectureMetadata } from "./architecture-metadata.js";
import { countLayers, refuseOtherLayouts, vocabSizeOf } from "./transformer-config.js";

/** By the number in the file; 0 is none, 4 the score of a reranker. */
const poolings: readonly (Pooling | undefined)[] = [undefined, "mean", "cls", "last"];

/** @throws InvalidTensorError for a key that is missing or malformed; UnsupportedModelError for what the graph lacks. */
export function readBertConfig(metadata: ArchitectureMetadata): ModelConfig & { readonly pooling: Pooling } {
  refuseOtherLayouts(metadata);
  const numLayers = countLayers(metadata);
  const hiddenSize = metadata.positive("embedding_length");
  const numHeads = metadata.positive("attention.head_count");
  const numKvHeads = metadata.number("attention.head_count_kv", numHeads);
  const feedForwardLength = metadata.positive("feed_forward_length");
  if (numKvHeads !== numHeads) throw metadata.unsupported("attention.head_count_kv", `${numHeads} heads over ${numKvHeads} KV heads`);
  const headDim = hiddenSize / numHeads;
  if (!Number.isInteger(headDim))
    throw metadata.unsupported("attention.head_count", `${hiddenSize} elements are no whole number of each of ${numHeads} heads`);
  if (metadata.boolean("attention.causal", false))
    throw metadata.unsupported("attention.causal", "attention to earlier tokens alone is not in this graph");
  const poolingType = metadata.number("pooling_type", 0);
  const pooling = poolings[poolingType];
  if (pooling === undefined) throw metadata.unsupported("pooling_type", `pooling ${poolingType} makes no vector of a text`);
  const normEps = metadata.number("attention.layer_norm_epsilon");
  if (normEps < 0) throw metadata.unsupported("attention.layer_norm_epsilon", `an epsilon of ${normEps} cannot be`);
  metadata.ignore("vocab_size");

  const layer: LayerConfig = {
    numHeads,
    numKvHeads,
    headDimK: headDim,
    headDimV: headDim,
    feedForwardLength,
    attentionScale: 1 / Math.sqrt(headDim),
  };
  return {
    architecture: metadata.architecture,
    vocabSize: vocabSizeOf(metadata.source),
    hiddenSize,
    contextLength: contextLengthOf(metadata),
    normEps,
    activation: "gelu",
    layers: new Array<LayerConfig>(numLayers).fill(layer),
    pooling,
  };
}

/** Positions are rows of a table, so there are no others. */
function contextLengthOf(metadata: ArchitectureMetadata): number {
  const contextLength = metadata.positive("context_length");
  const numRows = metadata.source.tensors.get("position_embd.weight")?.shape[0];
  if (numRows === contextLength) return contextLength;
  throw new InvalidTensorError("position_embd.weight", `a row for each of ${contextLength} positions`, `${numRows ?? "no"} rows`);
}
