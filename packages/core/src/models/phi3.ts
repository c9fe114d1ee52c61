/** Phi 3, 3.5 and 4: fused projections, rotary positions on a part of each head, longrope, and a sliding window in some sizes. */
import { readSlidingWindow } from "../config/sliding-window.js";
import { readTransformerConfig } from "../config/transformer-config.js";
import { draftAttention } from "../layers/attention.js";
import { draftFeedForward } from "../layers/feed-forward.js";
import type { Architecture } from "./architecture.js";
import { draftDecoder } from "./decoder.js";

export const phi3: Architecture = {
  name: "phi3",
  readConfig(metadata) {
    const config = readTransformerConfig(metadata, { ropeMode: "neox" });
    const window = readSlidingWindow(metadata);
    return { ...config, layers: config.layers.map((layer) => ({ ...layer, ...window })) };
  },
  draft(graph, config) {
    return draftDecoder(graph, config, (layer, x) => {
      const attended = draftAttention(graph, config, layer, x, { isFused: true });
      return draftFeedForward(graph, config, layer, attended, { isFused: true });
    });
  },
};
