/**
 * Gemma 3: as Gemma 2 without caps on the scores, with queries and keys normed head by head. Of six layers five see a sliding window, by
 * rotary positions of a base of their own; the sixth sees everything, and it alone has the file's base and scaling.
 */
import { readRopeBase } from "../config/rope-config.js";
import { readSlidingWindow, readWindowedLayers } from "../config/sliding-window.js";
import { readSoftcap } from "../config/softcap.js";
import { readTransformerConfig } from "../config/transformer-config.js";
import { draftAttention } from "../layers/attention.js";
import { draftFeedForward } from "../layers/feed-forward.js";
import type { Architecture } from "./architecture.js";
import { draftDecoder } from "./decoder.js";

const layersPerGlobalLayer = 6;
/** The one of five sizes whose scores are scaled by a head's share of the hidden size, not by its own dimension. */
const numLayersOf27b = 62;

export const gemma3: Architecture = {
  name: "gemma3",
  readConfig(metadata) {
    const config = readTransformerConfig(metadata, { ropeMode: "neox", activation: "gelu" });
    const window = readSlidingWindow(metadata);
    // A window that the context never fills hides nothing, and its layers are local ones all the same: they have a base of their own.
    const hasLocalLayers = metadata.number("attention.sliding_window", 0) !== 0;
    const isWindowed = readWindowedLayers(metadata, config.layers.length, layersPerGlobalLayer);
    const localTheta = readRopeBase(metadata, "rope.freq_base_swa", 10_000);
    const logitSoftcap = readSoftcap(metadata, "final_logit_softcapping", 0);
    return {
      ...config,
      embeddingScale: Math.sqrt(config.hiddenSize),
      ...(logitSoftcap === undefined ? {} : { logitSoftcap }),
      layers: config.layers.map((layer, index) => {
        const { dims, mode } = layer.rope!;
        const isLocal = hasLocalLayers && isWindowed[index];
        return {
          ...layer,
          attentionScale:
            config.layers.length === numLayersOf27b ? 1 / Math.sqrt(config.hiddenSize / layer.numHeads) : layer.attentionScale,
          ...(isLocal ? { ...window, rope: { theta: localTheta, dims, mode, magnitude: 1 } } : {}),
        };
      }),
    };
  },
  draft(graph, config) {
    return draftDecoder(graph, config, (layer, x) => {
      const attended = draftAttention(graph, config, layer, x, { hasHeadNorms: true, hasPostNorm: true });
      return draftFeedForward(graph, config, layer, attended, { hasPostNorm: true });
    });
  },
};
