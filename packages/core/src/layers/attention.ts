/** Grouped-query attention with rotary positions over the paged cache, and its residual. */
import type { ModelConfig, Tensor } from "@thermocline/spec";
import type { GraphDraft } from "../graph/graph-draft.js";
import { ropeArgs } from "./rope.js";

export const attentionUnit = (layer: number) => `blk.${layer}.attention`;

/** x [numTokens, hiddenSize] → x + attention(rmsNorm(x)), on the device of the layer's attention unit. */
export function draftAttention(graph: GraphDraft, config: ModelConfig, layer: number, residual: Tensor): Tensor {
  const unit = attentionUnit(layer);
  const device = graph.deviceOf(unit);
  const { hiddenSize, normEps } = config;
  const { numHeads, numKvHeads, headDimK, headDimV, attentionScale, rope } = config.layers[layer]!;
  const weight = (name: string, ...shape: number[]) => graph.weight(device, unit, `blk.${layer}.${name}.weight`, shape);
  const heads = (tensor: Tensor, count: number, headDim: number): Tensor => ({ ...tensor, shape: ["numTokens", count, headDim] });
  const ops = graph.on(device);
  const x = graph.moveTo(residual, device, "residual");

  const normed = graph.activation(device, ["numTokens", hiddenSize]);
  ops.rmsNorm(normed, x, weight("attn_norm", hiddenSize), normEps);
  const q = heads(graph.linear(device, normed, weight("attn_q", numHeads * headDimK, hiddenSize)), numHeads, headDimK);
  const k = heads(graph.linear(device, normed, weight("attn_k", numKvHeads * headDimK, hiddenSize)), numKvHeads, headDimK);
  const v = heads(graph.linear(device, normed, weight("attn_v", numKvHeads * headDimV, hiddenSize)), numKvHeads, headDimV);
  if (rope !== undefined) ops.rope(q, k, graph.stepTensor(device, "positions"), ropeArgs(graph, device, unit, rope));

  const { keyCache, valueCache } = graph.kvCache(device, layer, numKvHeads, headDimK, headDimV);
  ops.storeKv(k, v, keyCache, valueCache, graph.stepTensor(device, "slotMapping"));
  const attended = graph.activation(device, ["numTokens", numHeads, headDimV]);
  ops.attention(attended, q, {
    keyCache,
    valueCache,
    blockTables: graph.stepTensor(device, "blockTables"),
    contextLengths: graph.stepTensor(device, "contextLengths"),
    queryStarts: graph.stepTensor(device, "queryStarts"),
    scale: attentionScale,
  });
  const flat: Tensor = { ...attended, shape: ["numTokens", numHeads * headDimV] };
  const projected = graph.linear(device, flat, weight("attn_output", hiddenSize, numHeads * headDimV));
  const out = graph.activation(device, ["numTokens", hiddenSize]);
  ops.add(out, x, projected);
  return out;
}
