/** Llama: pre-norm, rotary positions on interleaved pairs, grouped queries, gated feed-forward, tied or own output matrix. */

import { readTransformerConfig } from "../config/transformer-config.js";
import { draftAttention } from "../layers/attention.js";
import { draftEmbedding } from "../layers/embedding.js";
import { draftFeedForward } from "../layers/feed-forward.js";
import { draftHead } from "../layers/head.js";
import type { Architecture } from "./architecture.js";

export const llama: Architecture = {
  name: "llama",
  readConfig: (metadata) => readTransformerConfig(metadata, "normal"),
  draft(graph, config, options) {
    let x = draftEmbedding(graph, config);
    for (let layer = 0; layer < config.layers.length; layer++) {
      x = draftAttention(graph, config, layer, x);
      x = draftFeedForward(graph, config, layer, x);
    }
    draftHead(graph, config, x, options);
  },
};
