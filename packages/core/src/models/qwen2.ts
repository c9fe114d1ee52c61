/** Qwen 2 and 2.5: as Llama, with biases of queries, keys and values, and halves of a head rotated against each other. */
import { readTransformerConfig } from "../config/transformer-config.js";
import { draftAttention } from "../layers/attention.js";
import { draftFeedForward } from "../layers/feed-forward.js";
import type { Architecture } from "./architecture.js";
import { draftDecoder } from "./decoder.js";

export const qwen2: Architecture = {
  name: "qwen2",
  readConfig: (metadata) => readTransformerConfig(metadata, { ropeMode: "neox" }),
  draft(graph, config) {
    return draftDecoder(graph, config, (layer, x) =>
      draftFeedForward(graph, config, layer, draftAttention(graph, config, layer, x, { hasBiases: true })),
    );
  },
};
