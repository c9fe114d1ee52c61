/** Token ids → the residual stream of models with learned positions and token types. */
import { InvalidTensorError, type ModelConfig, type Tensor } from "@thermocline/spec";
import type { GraphDraft } from "../graph/graph-draft.js";
import { embeddingUnit } from "./embedding.js";
import { draftLayerNorm } from "./layer-norm.js";

const typeTable = "token_types.weight";

/** tokenIds [numTokens] → x [numTokens, hiddenSize] = layerNorm(token + type 0 + position): one text has one type of tokens. */
export function draftPositionedEmbedding(graph: GraphDraft, config: ModelConfig): Tensor {
  const { hiddenSize, vocabSize, contextLength } = config;
  const device = graph.deviceOf(embeddingUnit);
  graph.beginUnit(embeddingUnit);
  const lookUp = (table: string, numRows: number, ids: Tensor) => {
    const rows = graph.activation(device, ["numTokens", hiddenSize]);
    graph.on(device).embed(rows, graph.weight(device, embeddingUnit, table, [numRows, hiddenSize]), ids);
    return rows;
  };
  const x = lookUp("token_embd.weight", vocabSize, graph.stepTensor(device, "tokenIds"));
  const numTypes = graph.source.tensors.get(typeTable)?.shape[0];
  if (numTypes === undefined) throw new InvalidTensorError(typeTable, "a matrix", "none");
  const { maxBatchTokens } = graph.limits;
  const zeros = graph.constant(device, embeddingUnit, "token types", [maxBatchTokens], new Int32Array(maxBatchTokens));
  graph.on(device).add(x, x, lookUp(typeTable, numTypes, { ...zeros, shape: ["numTokens"] }));
  graph.on(device).add(x, x, lookUp("position_embd.weight", contextLength, graph.stepTensor(device, "positions")));
  return draftLayerNorm(graph, config, embeddingUnit, "token_embd_norm", x);
}
