/** A layer's rotary positions as the op takes them: where the file asks for a scaling, its factors lie on the device. */
import type { DeviceId, RopeArgs, RopeConfig, Tensor } from "@thermocline/spec";
import type { GraphDraft } from "../graph/graph-draft.js";

export function ropeArgs(graph: GraphDraft, device: DeviceId, unit: string, rope: RopeConfig): RopeArgs {
  const { theta, dims, mode, magnitude } = rope;
  const frequencyFactors = draftFactors(graph, device, unit, rope);
  return { theta, dims, mode, magnitude, ...(frequencyFactors === undefined ? {} : { frequencyFactors }) };
}

/** [dims / 2] */
function draftFactors(graph: GraphDraft, device: DeviceId, unit: string, { dims, frequencyFactors }: RopeConfig): Tensor | undefined {
  if (frequencyFactors === undefined) return undefined;
  const shape = [dims / 2];
  if ("values" in frequencyFactors) return graph.constant(device, unit, "rope factors", shape, Float32Array.from(frequencyFactors.values));
  if ("tensor" in frequencyFactors) return graph.weight(device, unit, frequencyFactors.tensor, shape);
  const { shortTensor, longTensor, originalContextLength } = frequencyFactors;
  const isLong = graph.limits.contextLength > originalContextLength;
  graph.leaveOut(isLong ? shortTensor : longTensor);
  return graph.weight(device, unit, isLong ? longTensor : shortTensor, shape);
}
