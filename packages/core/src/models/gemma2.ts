/**
 * Gemma 2: scaled embeddings, norms before and after each half of a layer, capped scores and logits, a sliding window in every other
 * layer. The file's norm weights have their 1 added already.
 */
import { readSlidingWindow, readWindowedLayers } from "../config/sliding-window.js";
import { readSoftcap } from "../config/softcap.js";
import { readTransformerConfig } from "../config/transformer-config.js";
import { draftAttention } from "../layers/attention.js";
import { draftFeedForward } from "../layers/feed-forward.js";
import type { Architecture } from "./architecture.js";
import { draftDecoder } from "./decoder.js";

/** The one of three sizes whose scores are scaled by a head's share of the hidden size, not by its own dimension. */
const numLayersOf27b = 46;

export const gemma2: Architecture = {
  name: "gemma2",
  readConfig(metadata) {
    const config = readTransformerConfig(metadata, { ropeMode: "neox", activation: "gelu" });
    const window = readSlidingWindow(metadata, 4096);
    const isWindowed = readWindowedLayers(metadata, config.layers.length, 2);
    const attentionSoftcap = readSoftcap(metadata, "attn_logit_softcapping", 50);
    const logitSoftcap = readSoftcap(metadata, "final_logit_softcapping", 30);
    return {
      ...config,
      embeddingScale: Math.sqrt(config.hiddenSize),
      ...(attentionSoftcap === undefined ? {} : { attentionSoftcap }),
      ...(logitSoftcap === undefined ? {} : { logitSoftcap }),
      layers: config.layers.map((layer, index) => ({
        ...layer,
        attentionScale: config.layers.length === numLayersOf27b ? 1 / Math.sqrt(config.hiddenSize / layer.numHeads) : layer.attentionScale,
        ...(isWindowed[index] ? window : {}),
      })),
    };
  },
  draft(graph, config) {
    return draftDecoder(graph, config, (layer, x) => {
      const attended = draftAttention(graph, config, layer, x, { hasPostNorm: true });
      return draftFeedForward(graph, config, layer, attended, { hasPostNorm: true });
    });
  },
};
