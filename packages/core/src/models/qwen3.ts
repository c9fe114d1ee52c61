/** Qwen 3: no biases; queries and keys are normed head by head. */
import { readTransformerConfig } from "../config/transformer-config.js";
import { draftAttention } from "../layers/attention.js";
import { draftFeedForward } from "../layers/feed-forward.js";
import type { Architecture } from "./architecture.js";
import { draftDecoder } from "./decoder.js";

export const qwen3: Architecture = {
  name: "qwen3",
  readConfig: (metadata) => readTransformerConfig(metadata, { ropeMode: "neox" }),
  draft(graph, config) {
    return draftDecoder(graph, config, (layer, x) =>
      draftFeedForward(graph, config, layer, draftAttention(graph, config, layer, x, { hasHeadNorms: true })),
    );
  },
};
