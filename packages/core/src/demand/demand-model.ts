import type { DemandModel, ModelSource } from "@thermocline/spec";
import { architectures } from "../models/registry.js";
import { createEstimatedDemandModel } from "./estimated-demand-model.js";
import { GraphDemandModel } from "./graph-demand-model.js";

/**
 * Exact where a graph computes the architecture: the numbers are those of the graph that an engine would run. Else upper bounds from the
 * shapes that the header tells, with reasons in `estimates`.
 * @throws UnsupportedModelError for a file that holds no model, or keys that its graph does not know; InvalidTensorError for a header that
 * contradicts itself.
 */
export function createDemandModel(source: ModelSource): DemandModel {
  const architecture = source.metadata.get("general.architecture");
  const hasGraph = typeof architecture === "string" && architectures.has(architecture);
  return hasGraph ? new GraphDemandModel(source) : createEstimatedDemandModel(source);
}
