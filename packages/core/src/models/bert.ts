/**
 * BERT, as it makes vectors of texts: learned positions, attention over the whole text, a norm after each half of a layer, biases
 * throughout, and a pooling in place of a head. A text is computed whole in one step.
 */
import { readBertConfig } from "../config/bert-config.js";
import { draftBidirectionalAttention } from "../layers/bidirectional-attention.js";
import { draftPlainFeedForward } from "../layers/plain-feed-forward.js";
import { draftPositionedEmbedding } from "../layers/positioned-embedding.js";
import type { Architecture } from "./architecture.js";

export const bert: Architecture = {
  name: "bert",
  readConfig: readBertConfig,
  draft(graph, config) {
    let x = draftPositionedEmbedding(graph, config);
    for (let layer = 0; layer < config.layers.length; layer++) {
      x = draftBidirectionalAttention(graph, config, layer, x);
      x = draftPlainFeedForward(graph, config, layer, x);
    }
    return x;
  },
};
