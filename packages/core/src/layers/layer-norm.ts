/** The norm that takes the mean away, by a weight and a bias of a unit. */
import type { ModelConfig, Tensor } from "@thermocline/spec";
import type { GraphDraft } from "../graph/graph-draft.js";

/** layerNorm(x) [numTokens, hiddenSize] on x's device; `name` lacks ".weight" and ".bias". */
export function draftLayerNorm(graph: GraphDraft, { hiddenSize, normEps }: ModelConfig, unit: string, name: string, x: Tensor): Tensor {
  const { device } = x.buffer;
  const parameter = (kind: "weight" | "bias") => graph.weight(device, unit, `${name}.${kind}`, [hiddenSize]);
  const normed = graph.activation(device, x.shape);
  graph.on(device).layerNorm(normed, x, parameter("weight"), parameter("bias"), normEps);
  return normed;
}
