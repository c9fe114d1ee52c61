/**
 * The gated feed-forward network and its residual: whole on one device, or its neurons split over several.
 *
 * A neuron is a row of gate and up and a column of down. Neurons are independent until the sum over them, so each device runs gate, up,
 * activation and down for its own, and the layer joins once: the normed input goes over, one partial sum comes back.
 */
import type { DeviceId, ModelConfig, PlacedPart, Tensor } from "@thermocline/spec";
import type { GraphDraft } from "../graph/graph-draft.js";

export const feedForwardUnit = (layer: number) => `blk.${layer}.feed-forward`;

/** x [numTokens, hiddenSize] → x + down(activation(gate(h)) · up(h)) with h = rmsNorm(x). */
export function draftFeedForward(graph: GraphDraft, config: ModelConfig, layer: number, residual: Tensor): Tensor {
  const parts = graph.partsOf(feedForwardUnit(layer));
  // A split layer's sum ends where the residual stream already is; a whole one draws the stream to itself.
  const home = parts.length > 1 ? residual.buffer.device : parts[0]!.device;
  const x = graph.moveTo(residual, home, "residual");
  const normed = draftNorm(graph, config, layer, home, x);

  const away = parts.filter((part) => part.device !== home);
  const local = parts.find((part) => part.device === home);
  const inputs =
    away.length === 0
      ? []
      : graph.handOver(
          normed,
          away.map((part) => part.device),
          "feed-forward input",
        );
  const awayPartials = away.map((part, index) => draftNeurons(graph, config, layer, part, inputs[index]!, true));
  let sum = x;
  if (local !== undefined)
    sum = add(graph, home, config.hiddenSize, sum, draftNeurons(graph, config, layer, local, normed, away.length > 0));
  for (const partial of awayPartials) {
    sum = add(graph, home, config.hiddenSize, sum, graph.handOver(partial, [home], "partial sum")[0]!);
  }
  return sum;
}

function draftNorm(graph: GraphDraft, config: ModelConfig, layer: number, device: DeviceId, x: Tensor): Tensor {
  const normed = graph.activation(device, ["numTokens", config.hiddenSize]);
  const weight = graph.weight(device, feedForwardUnit(layer), `blk.${layer}.ffn_norm.weight`, [config.hiddenSize]);
  graph.on(device).rmsNorm(normed, x, weight, config.normEps);
  return normed;
}

/** The partial sum [numTokens, hiddenSize] of one device's neurons. */
function draftNeurons(graph: GraphDraft, config: ModelConfig, layer: number, part: PlacedPart, input: Tensor, isLeg: boolean): Tensor {
  const { device, rows } = part;
  const { hiddenSize } = config;
  const { feedForwardLength } = config.layers[layer]!;
  const slice = (axis: number) => (rows === undefined ? [] : [{ axis, ranges: rows }]);
  const weight = (name: string, shape: readonly number[], axis: number) =>
    graph.weight(device, feedForwardUnit(layer), `blk.${layer}.${name}.weight`, shape, slice(axis));

  if (isLeg) graph.markLeg(layer, device);
  const gate = graph.linear(device, input, weight("ffn_gate", [feedForwardLength, hiddenSize], 0));
  const up = graph.linear(device, input, weight("ffn_up", [feedForwardLength, hiddenSize], 0));
  graph.on(device).activate(gate, gate, up, config.activation);
  return graph.linear(device, gate, weight("ffn_down", [hiddenSize, feedForwardLength], 1));
}

/** A residual sum in memory of its own: the addends may be on their way between devices. */
function add(graph: GraphDraft, device: DeviceId, hiddenSize: number, a: Tensor, b: Tensor): Tensor {
  const out = graph.activation(device, ["numTokens", hiddenSize]);
  graph.on(device).add(out, a, b);
  return out;
}
