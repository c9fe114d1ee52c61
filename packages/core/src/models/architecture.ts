/** What an architecture is: how its config is read and how its graph is drafted. */
import type { ModelConfig, Tensor } from "@thermocline/spec";
import type { ArchitectureMetadata } from "../config/architecture-metadata.js";
import type { GraphDraft } from "../graph/graph-draft.js";

export interface Architecture {
  readonly name: string;
  /** @throws UnsupportedModelError for a key or value that the graph lacks. */
  readConfig(metadata: ArchitectureMetadata): ModelConfig;
  /** Drafts a step up to the last hidden states [numTokens, hiddenSize]; the head, or the pooling that a config names, goes on from there. */
  draft(graph: GraphDraft, config: ModelConfig): Tensor;
}
