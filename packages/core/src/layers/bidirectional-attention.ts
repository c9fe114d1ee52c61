/** Attention of every token to the whole of its text, which lies in one step: its keys and values are not kept. */
import type { ModelConfig, Tensor } from "@thermocline/spec";
import type { GraphDraft } from "../graph/graph-draft.js";
import { attentionUnit } from "./attention.js";
import { draftLayerNorm } from "./layer-norm.js";
import { draftAdd } from "./residual.js";

/** x [numTokens, hiddenSize] → layerNorm(x + attention(x)), on the device of the layer's attention unit. */
export function draftBidirectionalAttention(graph: GraphDraft, config: ModelConfig, layer: number, residual: Tensor): Tensor {
  const unit = attentionUnit(layer);
  const device = graph.deviceOf(unit);
  graph.beginUnit(unit);
  const { hiddenSize } = config;
  const { numHeads, headDimK, headDimV, attentionScale } = config.layers[layer]!;
  const ops = graph.on(device);
  const x = graph.moveTo(residual, device, "residual");
  const project = (name: string, input: Tensor, numRows: number, numColumns: number) =>
    graph.linear(
      device,
      input,
      graph.weight(device, unit, `blk.${layer}.${name}.weight`, [numRows, numColumns]),
      graph.weight(device, unit, `blk.${layer}.${name}.bias`, [numRows]),
    );
  const heads = (name: string, headDim: number): Tensor => ({
    ...project(name, x, numHeads * headDim, hiddenSize),
    shape: ["numTokens", numHeads, headDim],
  });
  const q = heads("attn_q", headDimK);
  const { keyCache, valueCache, blockTables, slotMapping } = graph.stepKvCache(device, numHeads, headDimK, headDimV);
  ops.storeKv(heads("attn_k", headDimK), heads("attn_v", headDimV), keyCache, valueCache, slotMapping);
  const attended = graph.activation(device, ["numTokens", numHeads, headDimV]);
  ops.attention(attended, q, {
    keyCache,
    valueCache,
    blockTables,
    contextLengths: graph.stepTensor(device, "contextLengths"),
    queryStarts: graph.stepTensor(device, "queryStarts"),
    scale: attentionScale,
    causal: false,
  });
  const flat: Tensor = { ...attended, shape: ["numTokens", numHeads * headDimV] };
  const out = project("attn_output", flat, hiddenSize, numHeads * headDimV);
  return draftLayerNorm(graph, config, unit, `blk.${layer}.attn_output_norm`, draftAdd(graph, x, out));
}
