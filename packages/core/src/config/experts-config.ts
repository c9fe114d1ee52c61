/** The experts of a mixture, from the `expert_*` keys. */
import type { ExpertsConfig } from "@thermocline/spec";
import type { ArchitectureMetadata } from "./architecture-metadata.js";

/**
 * Undefined for a dense model. `feedForwardLength` is the layer's, which is that of one expert where no key of the experts' own names it.
 * @throws UnsupportedModelError where the graph has no place for experts, or lacks them; InvalidTensorError for a malformed key.
 */
export function readExpertsConfig(
  metadata: ArchitectureMetadata,
  feedForwardLength: number,
  experts: "allowed" | "required" | undefined,
): ExpertsConfig | undefined {
  const count = metadata.number("expert_count", 0);
  if (count === 0) {
    if (experts === "required") throw metadata.unsupported("expert_count", "has no experts, which this graph needs");
    metadata.ignore("expert_used_count");
    return undefined;
  }
  if (experts === undefined) throw metadata.unsupported("expert_count", "has experts, which this graph lacks");
  const used = metadata.positive("expert_used_count");
  if (metadata.checkPositive("expert_count", count) < used)
    throw metadata.unsupported("expert_used_count", `${used} of ${count} experts cannot be used`);
  return {
    count,
    used,
    feedForwardLength: metadata.positive("expert_feed_forward_length", feedForwardLength),
    // Every mixture here shares a token's weights out among the experts that it uses.
    normalizeWeights: true,
  };
}
