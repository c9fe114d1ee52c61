/**
 * A mixture of experts and its residual: a router chooses the experts of each token, and each device that holds experts runs its own.
 *
 * Experts stand in slot pools behind an index: `expertSlots` says which slot of the device's weights an expert has, or -1 where it is
 * elsewhere. Its part of a token's sum is zero there, so that the partial sums of all devices add up to the layer.
 */
import type { ExpertsConfig, ModelConfig, PlacedPart, Tensor } from "@thermocline/spec";
import type { GraphDraft } from "../graph/graph-draft.js";
import { draftNorm } from "./residual.js";
import { draftSplitSum } from "./split-sum.js";

export const routerUnit = (layer: number) => `blk.${layer}.router`;
export const expertsUnit = (layer: number) => `blk.${layer}.experts`;

/** x [numTokens, hiddenSize] → x + Σ weight · expert(h) over the token's experts, with h = rmsNorm(x), on the router's device. */
export function draftExperts(graph: GraphDraft, config: ModelConfig, layer: number, residual: Tensor): Tensor {
  const experts = config.layers[layer]!.experts!;
  const home = graph.deviceOf(routerUnit(layer));
  graph.beginUnit(routerUnit(layer));
  const x = graph.moveTo(residual, home, "residual");
  const normed = draftNorm(graph, config, routerUnit(layer), `blk.${layer}.ffn_norm.weight`, x);
  const router = graph.weight(home, routerUnit(layer), `blk.${layer}.ffn_gate_inp.weight`, [experts.count, config.hiddenSize]);
  const expertIds = graph.activation(home, ["numTokens", experts.used], "i32");
  const expertWeights = graph.activation(home, ["numTokens", experts.used]);
  const normalize = experts.normalizeWeights;
  graph.on(home).routeExperts(expertIds, expertWeights, graph.linear(home, normed, router), { normalize });
  return draftSplitSum(
    graph,
    {
      unit: expertsUnit(layer),
      layer,
      home,
      inputs: [
        { tensor: normed, role: "experts input" },
        { tensor: expertIds, role: "expert ids" },
        { tensor: expertWeights, role: "expert weights" },
      ],
      draftPart: (part, [input, ids, weights]) => draftOwnExperts(graph, config, layer, part, input!, ids!, weights!),
    },
    x,
  );
}

/** The partial sum [numTokens, hiddenSize] of the experts that one device holds. */
function draftOwnExperts(
  graph: GraphDraft,
  { hiddenSize, activation, layers }: ModelConfig,
  layer: number,
  { device, rows }: PlacedPart,
  input: Tensor,
  expertIds: Tensor,
  expertWeights: Tensor,
): Tensor {
  const experts = layers[layer]!.experts!;
  const { count, used, feedForwardLength } = experts;
  const unit = expertsUnit(layer);
  const slices = rows === undefined ? [] : [{ axis: 0, ranges: rows }];
  const weight = (name: string, ...shape: number[]) => graph.weight(device, unit, `blk.${layer}.${name}.weight`, [count, ...shape], slices);
  const expertSlots = graph.constant(device, unit, "expert slots", [count], slotsOf(experts, rows));
  const linear = (x: Tensor, pool: Tensor) => graph.expertLinear(device, x, pool, expertIds, expertSlots);

  const gate = linear(input, weight("ffn_gate_exps", feedForwardLength, hiddenSize));
  const up = linear(input, weight("ffn_up_exps", feedForwardLength, hiddenSize));
  const flat = (x: Tensor): Tensor => ({ ...x, shape: ["numTokens", used * feedForwardLength] });
  graph.on(device).activate(flat(gate), flat(gate), flat(up), activation);
  const down = linear(gate, weight("ffn_down_exps", hiddenSize, feedForwardLength));
  const sum = graph.activation(device, ["numTokens", hiddenSize]);
  graph.on(device).combineExperts(sum, down, expertWeights);
  return sum;
}

/** The slot of each expert in a pool that holds these ranges of them one after the other. */
function slotsOf({ count }: ExpertsConfig, rows: PlacedPart["rows"]): Int32Array {
  const slots = new Int32Array(count).fill(-1);
  let next = 0;
  for (const [first, length] of rows ?? [[0, count] as const]) {
    for (let expert = first; expert < first + length; expert++) slots[expert] = next++;
  }
  return slots;
}
