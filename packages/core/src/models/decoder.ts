/** The frame that decoders share: embedding, layers one after the other, head. */
import type { ModelConfig, Tensor } from "@thermocline/spec";
import type { GraphDraft } from "../graph/graph-draft.js";
import { draftEmbedding } from "../layers/embedding.js";
import { draftHead, type HeadOptions } from "../layers/head.js";

/** `draftLayer` takes the residual stream x [numTokens, hiddenSize] and gives it on. */
export function draftDecoder(
  graph: GraphDraft,
  config: ModelConfig,
  options: HeadOptions,
  draftLayer: (layer: number, x: Tensor) => Tensor,
): void {
  let x = draftEmbedding(graph, config);
  for (let layer = 0; layer < config.layers.length; layer++) x = draftLayer(layer, x);
  draftHead(graph, config, x, options);
}
