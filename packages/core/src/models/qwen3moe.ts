/** Qwen 3 with a mixture of experts in every layer. */
import { readTransformerConfig } from "../config/transformer-config.js";
import { draftAttention } from "../layers/attention.js";
import { draftExperts } from "../layers/experts.js";
import type { Architecture } from "./architecture.js";
import { draftDecoder } from "./decoder.js";

export const qwen3moe: Architecture = {
  name: "qwen3moe",
  readConfig: (metadata) => readTransformerConfig(metadata, { ropeMode: "neox", experts: "required" }),
  draft(graph, config) {
    return draftDecoder(graph, config, (layer, x) =>
      draftExperts(graph, config, layer, draftAttention(graph, config, layer, x, { hasHeadNorms: true })),
    );
  },
};
