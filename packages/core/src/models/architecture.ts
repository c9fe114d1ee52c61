/** What an architecture is: how its config is read and how its graph is drafted. */
import type { ModelConfig } from "@thermocline/spec";
import type { ArchitectureMetadata } from "../config/architecture-metadata.js";
import type { GraphDraft } from "../graph/graph-draft.js";
import type { HeadOptions } from "../layers/head.js";

export interface Architecture {
  readonly name: string;
  /** @throws UnsupportedModelError for a key or value that the graph lacks. */
  readConfig(metadata: ArchitectureMetadata): ModelConfig;
  /** Drafts one step: from the token ids to the sampled ones, or, where the config has a pooling, to a vector for each sequence. */
  draft(graph: GraphDraft, config: ModelConfig, options: HeadOptions): void;
}
