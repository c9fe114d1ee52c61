/** Token ids → the residual stream. */
import type { ModelConfig, Tensor } from "@thermocline/spec";
import type { GraphDraft } from "../graph/graph-draft.js";

export const embeddingUnit = "embedding";

/** tokenIds [numTokens] → x [numTokens, hiddenSize]. */
export function draftEmbedding(graph: GraphDraft, config: ModelConfig): Tensor {
  const device = graph.deviceOf(embeddingUnit);
  graph.beginUnit(embeddingUnit);
  const x = graph.activation(device, ["numTokens", config.hiddenSize]);
  const table = graph.weight(device, embeddingUnit, "token_embd.weight", [config.vocabSize, config.hiddenSize]);
  graph.on(device).embed(x, table, graph.stepTensor(device, "tokenIds"), config.embeddingScale);
  return x;
}
