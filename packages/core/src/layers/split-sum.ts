/**
 * A sum whose addends are computed side by side on the devices that hold a unit's rows: the inputs go over once, one partial sum comes back
 * from each device.
 */
import type { DeviceId, PlacedPart, Tensor } from "@thermocline/spec";
import type { GraphDraft, NamedTensor } from "../graph/graph-draft.js";
import { draftAdd } from "./residual.js";

export interface SplitSum {
  readonly unit: string;
  readonly layer: number;
  /** Where the inputs are and the sum ends. */
  readonly home: DeviceId;
  readonly inputs: readonly NamedTensor[];
  /** The partial sum [numTokens, hiddenSize] of a part, from the inputs as its device sees them. */
  draftPart(part: PlacedPart, inputs: readonly Tensor[]): Tensor;
}

/** `start` plus the partial sums, the home's first; without a start the partial sums alone. */
export function draftSplitSum(graph: GraphDraft, { unit, layer, home, inputs, draftPart }: SplitSum, start?: Tensor): Tensor {
  const parts = graph.partsOf(unit);
  graph.beginUnit(unit);
  const away = parts.filter((part) => part.device !== home);
  const local = parts.find((part) => part.device === home);
  const devices = away.map((part) => part.device);
  const inputsByDevice = away.length === 0 ? [] : graph.handOverTogether(inputs, devices);
  const draftLeg = (part: PlacedPart, seen: readonly Tensor[]) => {
    if (away.length > 0) graph.markLeg(layer, part.device);
    return draftPart(part, seen);
  };
  const awayPartials = away.map((part, index) => draftLeg(part, inputsByDevice[index]!));

  const add = (sum: Tensor | undefined, partial: Tensor) => (sum === undefined ? partial : draftAdd(graph, sum, partial));
  let sum = start;
  if (local !== undefined) {
    const tensors = inputs.map(({ tensor }) => tensor);
    sum = add(sum, draftLeg(local, tensors));
  }
  for (const partial of awayPartials) sum = add(sum, graph.handOver(partial, [home], "partial sum")[0]!);
  return sum!;
}
