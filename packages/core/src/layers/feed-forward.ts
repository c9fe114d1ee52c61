/**
 * The gated feed-forward network and its residual: whole on one device, or its neurons split over several.
 *
 * A neuron is a row of gate and up and a column of down. Neurons are independent until the sum over them, so each device runs gate, up,
 * activation and down for its own.
 */
import type { ModelConfig, PlacedPart, Tensor, TensorSlice } from "@thermocline/spec";
import type { GraphDraft } from "../graph/graph-draft.js";
import { draftAdd, draftNorm } from "./residual.js";
import { draftSplitSum, type SplitSum } from "./split-sum.js";

export const feedForwardUnit = (layer: number) => `blk.${layer}.feed-forward`;

export interface FeedForwardOptions {
  /** The rows of gate and, after them, those of up are one tensor, `ffn_up`. */
  readonly isFused?: boolean;
  /** The output is normed before it joins the residual. */
  readonly hasPostNorm?: boolean;
}

/** x [numTokens, hiddenSize] → x + down(activation(gate(h)) · up(h)) with h = rmsNorm(x). */
export function draftFeedForward(
  graph: GraphDraft,
  config: ModelConfig,
  layer: number,
  residual: Tensor,
  options: FeedForwardOptions = {},
): Tensor {
  const unit = feedForwardUnit(layer);
  const parts = graph.partsOf(unit);
  graph.beginUnit(unit);
  // A split layer's sum ends where the residual stream already is; a whole one draws the stream to itself.
  const home = parts.length > 1 ? residual.buffer.device : parts[0]!.device;
  const x = graph.moveTo(residual, home, "residual");
  const normed = draftNorm(graph, config, unit, `blk.${layer}.ffn_norm.weight`, x);
  const split: SplitSum = {
    unit,
    layer,
    home,
    inputs: [{ tensor: normed, role: "feed-forward input" }],
    draftPart: (part, [input]) => draftNeurons(graph, config, layer, part, input!, options),
  };
  if (!options.hasPostNorm) return draftSplitSum(graph, split, x);
  return draftAdd(graph, x, draftNorm(graph, config, unit, `blk.${layer}.post_ffw_norm.weight`, draftSplitSum(graph, split)));
}

/** The partial sum [numTokens, hiddenSize] of one device's neurons. */
function draftNeurons(
  graph: GraphDraft,
  { hiddenSize, layers, activation }: ModelConfig,
  layer: number,
  { device, rows }: PlacedPart,
  input: Tensor,
  { isFused }: FeedForwardOptions,
): Tensor {
  const { feedForwardLength } = layers[layer]!;
  const weight = (name: string, shape: readonly number[], slices: readonly TensorSlice[]) =>
    graph.weight(device, feedForwardUnit(layer), `blk.${layer}.${name}.weight`, shape, slices);
  const slicesOf = (axis: number) => (rows === undefined ? [] : [{ axis, ranges: rows }]);
  /** Rows of the fused tensor, which begins with the gate's. */
  const fused = (firstRow: number) => {
    const own = rows ?? [[0, feedForwardLength] as const];
    const ranges = own.map(([first, count]) => [firstRow + first, count] as const);
    return weight("ffn_up", [2 * feedForwardLength, hiddenSize], [{ axis: 0, ranges }]);
  };
  const separate = (name: string) => weight(name, [feedForwardLength, hiddenSize], slicesOf(0));

  const gate = graph.linear(device, input, isFused ? fused(0) : separate("ffn_gate"));
  const up = graph.linear(device, input, isFused ? fused(feedForwardLength) : separate("ffn_up"));
  graph.on(device).activate(gate, gate, up, activation);
  return graph.linear(device, gate, weight("ffn_down", [hiddenSize, feedForwardLength], slicesOf(1)));
}
