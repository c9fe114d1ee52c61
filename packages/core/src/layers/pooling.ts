/** The hidden states of a text's tokens → one vector of the text. */

import type { ModelConfig, Tensor } from "@thermocline/spec";
import { assert } from "@thermocline/spec";
import type { GraphDraft } from "../graph/graph-draft.js";
import { headUnit } from "./head.js";

/** x [numTokens, hiddenSize] → vectors [numSequences, hiddenSize] that the caller reads: a mean, or the rows that `outputRows` names. */
export function draftPooling(graph: GraphDraft, { hiddenSize, pooling }: ModelConfig, residual: Tensor): void {
  assert(pooling !== undefined, "a model that pools says how");
  const device = graph.deviceOf(headUnit);
  graph.beginUnit(headUnit);
  const x = graph.moveTo(residual, device, "residual");
  const vectors = graph.activation(device, [pooling === "mean" ? "numSequences" : "numOutputRows", hiddenSize]);
  if (pooling === "mean") graph.on(device).meanPool(vectors, x, graph.stepTensor(device, "queryStarts"));
  else graph.on(device).gatherRows(vectors, x, graph.stepTensor(device, "outputRows"));
  graph.giveEmbeddings(vectors);
}
