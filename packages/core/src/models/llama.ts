/** Llama and its like, Mistral and Mixtral among them: rotary positions on interleaved pairs, grouped queries, a gated feed-forward network or experts. */
import { readSlidingWindow } from "../config/sliding-window.js";
import { readTransformerConfig } from "../config/transformer-config.js";
import { draftAttention } from "../layers/attention.js";
import { draftExperts } from "../layers/experts.js";
import { draftFeedForward } from "../layers/feed-forward.js";
import type { Architecture } from "./architecture.js";
import { draftDecoder } from "./decoder.js";

export const llama: Architecture = {
  name: "llama",
  readConfig(metadata) {
    const config = readTransformerConfig(metadata, { ropeMode: "normal", experts: "allowed" });
    const window = readSlidingWindow(metadata);
    return { ...config, layers: config.layers.map((layer) => ({ ...layer, ...window })) };
  },
  draft(graph, config) {
    return draftDecoder(graph, config, (layer, x) => {
      const attended = draftAttention(graph, config, layer, x);
      const isMixture = config.layers[layer]!.experts !== undefined;
      return isMixture ? draftExperts(graph, config, layer, attended) : draftFeedForward(graph, config, layer, attended);
    });
  },
};
