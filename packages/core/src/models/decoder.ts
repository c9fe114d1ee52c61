/** The frame that decoders share: embedding, then layers one after the other. */
import type { ModelConfig, Tensor } from "@thermocline/spec";
import type { GraphDraft } from "../graph/graph-draft.js";
import { draftEmbedding } from "../layers/embedding.js";

/** `draftLayer` takes the residual stream x [numTokens, hiddenSize] and gives it on. */
export function draftDecoder(graph: GraphDraft, config: ModelConfig, draftLayer: (layer: number, x: Tensor) => Tensor): Tensor {
  let x = draftEmbedding(graph, config);
  for (let layer = 0; layer < config.layers.length; layer++) x = draftLayer(layer, x);
  return x;
}
