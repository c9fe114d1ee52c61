/** The feed-forward network without a gate, with biases: whole on one device, or its neurons split over several. */
import type { ModelConfig, PlacedPart, Tensor } from "@thermocline/spec";
import type { GraphDraft } from "../graph/graph-draft.js";
import { feedForwardUnit } from "./feed-forward.js";
import { draftLayerNorm } from "./layer-norm.js";
import { draftSplitSum } from "./split-sum.js";

/** x [numTokens, hiddenSize] → layerNorm(x + down(activation(up(x)))). */
export function draftPlainFeedForward(graph: GraphDraft, config: ModelConfig, layer: number, residual: Tensor): Tensor {
  const unit = feedForwardUnit(layer);
  const parts = graph.partsOf(unit);
  graph.beginUnit(unit);
  // A split layer's sum ends where the residual stream already is; a whole one draws the stream to itself.
  const home = parts.length > 1 ? residual.buffer.device : parts[0]!.device;
  const x = graph.moveTo(residual, home, "residual");
  const sum = draftSplitSum(
    graph,
    {
      unit,
      layer,
      home,
      inputs: [{ tensor: x, role: "feed-forward input" }],
      // The bias of the sum goes in once.
      draftPart: (part, [input]) => draftNeurons(graph, config, layer, part, input!, part === parts[0]),
    },
    x,
  );
  return draftLayerNorm(graph, config, unit, `blk.${layer}.layer_output_norm`, sum);
}

/** The partial sum [numTokens, hiddenSize] of one device's neurons. */
function draftNeurons(
  graph: GraphDraft,
  { hiddenSize, layers, activation }: ModelConfig,
  layer: number,
  { device, rows }: PlacedPart,
  input: Tensor,
  withBias: boolean,
): Tensor {
  const { feedForwardLength } = layers[layer]!;
  const slicesOf = (axis: number) => (rows === undefined ? [] : [{ axis, ranges: rows }]);
  const weight = (name: string, shape: readonly number[], neuronAxis?: number) =>
    graph.weight(device, feedForwardUnit(layer), `blk.${layer}.${name}`, shape, neuronAxis === undefined ? [] : slicesOf(neuronAxis));
  const neurons = graph.linear(
    device,
    input,
    weight("ffn_up.weight", [feedForwardLength, hiddenSize], 0),
    weight("ffn_up.bias", [feedForwardLength], 0),
  );
  graph.on(device).activate(neurons, neurons, undefined, activation);
  const down = weight("ffn_down.weight", [hiddenSize, feedForwardLength], 1);
  return graph.linear(device, neurons, down, withBias ? weight("ffn_down.bias", [hiddenSize]) : undefined);
}
