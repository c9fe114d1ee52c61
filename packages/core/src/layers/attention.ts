/** Grouped-query attention with rotary positions over the paged cache, and its residual. */
import type { ModelConfig, Tensor } from "@thermocline/spec";
import type { GraphDraft } from "../graph/graph-draft.js";
import { draftAdd, draftNorm } from "./residual.js";
import { ropeArgs } from "./rope.js";

export const attentionUnit = (layer: number) => `blk.${layer}.attention`;

export interface AttentionOptions {
  /** q, k and v are rows of one tensor, in this order. */
  readonly isFused?: boolean;
  /** q, k and v have biases, which the file must hold; else those that it holds are added. */
  readonly hasBiases?: boolean;
  /** q and k are normed head by head before they are rotated. */
  readonly hasHeadNorms?: boolean;
  /** The output is normed before it joins the residual. */
  readonly hasPostNorm?: boolean;
}

/** x [numTokens, hiddenSize] → x + attention(rmsNorm(x)), on the device of the layer's attention unit. */
export function draftAttention(
  graph: GraphDraft,
  config: ModelConfig,
  layer: number,
  residual: Tensor,
  options: AttentionOptions = {},
): Tensor {
  const unit = attentionUnit(layer);
  const device = graph.deviceOf(unit);
  graph.beginUnit(unit);
  const { hiddenSize, normEps, attentionSoftcap } = config;
  const { numHeads, numKvHeads, headDimK, headDimV, attentionScale, slidingWindow, rope } = config.layers[layer]!;
  const ops = graph.on(device);
  const x = graph.moveTo(residual, device, "residual");
  const normed = draftNorm(graph, config, unit, `blk.${layer}.attn_norm.weight`, x);
  const { q, k, v } = draftHeads(graph, config, layer, normed, options);
  if (options.hasHeadNorms) {
    const headNorm = (name: string) => graph.weight(device, unit, `blk.${layer}.${name}.weight`, [headDimK]);
    ops.rmsNorm(q, q, headNorm("attn_q_norm"), normEps);
    ops.rmsNorm(k, k, headNorm("attn_k_norm"), normEps);
  }
  if (rope !== undefined) ops.rope(q, k, graph.stepTensor(device, "positions"), ropeArgs(graph, device, unit, rope));

  const { keyCache, valueCache, blockTables, slotMapping } = graph.kvCache(device, layer, numKvHeads, headDimK, headDimV);
  ops.storeKv(k, v, keyCache, valueCache, slotMapping);
  const attended = graph.activation(device, ["numTokens", numHeads, headDimV]);
  ops.attention(attended, q, {
    keyCache,
    valueCache,
    blockTables,
    contextLengths: graph.stepTensor(device, "contextLengths"),
    queryStarts: graph.stepTensor(device, "queryStarts"),
    scale: attentionScale,
    ...(attentionSoftcap === undefined ? {} : { softcap: attentionSoftcap }),
    ...(slidingWindow === undefined ? {} : { slidingWindow }),
  });
  const flat: Tensor = { ...attended, shape: ["numTokens", numHeads * headDimV] };
  const output = graph.weight(device, unit, `blk.${layer}.attn_output.weight`, [hiddenSize, numHeads * headDimV]);
  let out = graph.linear(device, flat, output);
  if (options.hasPostNorm) out = draftNorm(graph, config, unit, `blk.${layer}.post_attention_norm.weight`, out);
  return draftAdd(graph, x, out);
}

/** q [numTokens, numHeads, headDimK], k [numTokens, numKvHeads, headDimK] and v [numTokens, numKvHeads, headDimV] of normed hidden states. */
function draftHeads(
  graph: GraphDraft,
  { hiddenSize, layers }: ModelConfig,
  layer: number,
  x: Tensor,
  { isFused, hasBiases }: AttentionOptions,
): Readonly<Record<"q" | "k" | "v", Tensor>> {
  const unit = attentionUnit(layer);
  const { device } = x.buffer;
  const { numHeads, numKvHeads, headDimK, headDimV } = layers[layer]!;
  const numFusedRows = (numHeads + numKvHeads) * headDimK + numKvHeads * headDimV;
  const heads = (part: "q" | "k" | "v", count: number, headDim: number, firstFusedRow: number): Tensor => {
    const numRows = count * headDim;
    const weight = isFused
      ? graph.weight(
          device,
          unit,
          `blk.${layer}.attn_qkv.weight`,
          [numFusedRows, hiddenSize],
          [{ axis: 0, ranges: [[firstFusedRow, numRows]] }],
        )
      : graph.weight(device, unit, `blk.${layer}.attn_${part}.weight`, [numRows, hiddenSize]);
    const biasName = `blk.${layer}.attn_${part}.bias`;
    const bias = hasBiases || graph.hasTensor(biasName) ? graph.weight(device, unit, biasName, [numRows]) : undefined;
    return { ...graph.linear(device, x, weight, bias), shape: ["numTokens", count, headDim] };
  };
  return {
    q: heads("q", numHeads, headDimK, 0),
    k: heads("k", numKvHeads, headDimK, numHeads * headDimK),
    v: heads("v", numKvHeads, headDimV, (numHeads + numKvHeads) * headDimK),
  };
}
