/** What layers do around their own work: norms, and sums into the residual stream. */
import type { ModelConfig, Tensor } from "@thermocline/spec";
import type { GraphDraft } from "../graph/graph-draft.js";

/** rmsNorm(x) [numTokens, hiddenSize] on x's device, by a weight of the unit. */
export function draftNorm(graph: GraphDraft, { hiddenSize, normEps }: ModelConfig, unit: string, name: string, x: Tensor): Tensor {
  const { device } = x.buffer;
  const normed = graph.activation(device, x.shape);
  graph.on(device).rmsNorm(normed, x, graph.weight(device, unit, name, [hiddenSize]), normEps);
  return normed;
}

/** a + b on their device, in memory of its own: the addends may be on their way between devices. */
export function draftAdd(graph: GraphDraft, a: Tensor, b: Tensor): Tensor {
  const { device } = a.buffer;
  const out = graph.activation(device, a.shape);
  graph.on(device).add(out, a, b);
  return out;
}
