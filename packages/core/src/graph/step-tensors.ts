/** The tensors that the caller fills before a step and reads after it: names, dtypes and shapes in one table. */
import { type Dim, type DType, samplingColumns } from "@thermocline/spec";
import type { HostLayout, HostMemory } from "./host-memory.js";
import { largestByteLength, type StepLimits } from "./step-limits.js";

export const stepTensorNames = [
  "tokenIds",
  "positions",
  "slotMapping",
  "blockTables",
  "contextLengths",
  "queryStarts",
  "outputRows",
  "samplingParams",
  "randomState",
  "editIds",
  "editValues",
  "surpriseLimits",
  "sampledTokenIds",
  "logprobIds",
  "logprobs",
] as const;
export type StepTensorName = (typeof stepTensorNames)[number];

export function stepTensorShapes(limits: StepLimits): Record<StepTensorName, { readonly dtype: DType; readonly shape: readonly Dim[] }> {
  return {
    tokenIds: { dtype: "i32", shape: ["numTokens"] },
    positions: { dtype: "i32", shape: ["numTokens"] },
    slotMapping: { dtype: "i32", shape: ["numTokens"] },
    blockTables: { dtype: "i32", shape: ["numSequences", limits.maxBlocksPerSequence] },
    contextLengths: { dtype: "i32", shape: ["numSequences"] },
    queryStarts: { dtype: "i32", shape: [limits.maxSequences + 1] },
    outputRows: { dtype: "i32", shape: ["numOutputRows"] },
    samplingParams: { dtype: "f32", shape: ["numOutputRows", samplingColumns.length] },
    randomState: { dtype: "i32", shape: ["numOutputRows", 2] },
    editIds: { dtype: "i32", shape: ["numOutputRows", limits.maxLogitEdits] },
    editValues: { dtype: "f32", shape: ["numOutputRows", 2 * limits.maxLogitEdits] },
    surpriseLimits: { dtype: "f32", shape: ["numOutputRows"] },
    sampledTokenIds: { dtype: "i32", shape: ["numOutputRows"] },
    logprobIds: { dtype: "i32", shape: ["numOutputRows", limits.logprobColumns] },
    logprobs: { dtype: "f32", shape: ["numOutputRows", limits.logprobColumns] },
  };
}

export const stepRegion = (name: StepTensorName) => `step.${name}`;

export function addStepRegions(layout: HostLayout, limits: StepLimits): void {
  const shapes = stepTensorShapes(limits);
  for (const name of stepTensorNames) layout.add(stepRegion(name), largestByteLength(shapes[name].dtype, shapes[name].shape, limits));
}

type FloatTensorName = "samplingParams" | "editValues" | "surpriseLimits" | "logprobs";

/** Views over the shared memory; i32 tensors but for those that hold floats. */
export type StepTensors = Readonly<Record<Exclude<StepTensorName, FloatTensorName>, Int32Array>> &
  Readonly<Record<FloatTensorName, Float32Array>>;

export function viewStepTensors(host: HostMemory, limits: StepLimits): StepTensors {
  const shapes = stepTensorShapes(limits);
  const view = (name: StepTensorName) => {
    const length = largestByteLength(shapes[name].dtype, shapes[name].shape, limits) / 4;
    return shapes[name].dtype === "f32" ? host.float32(stepRegion(name), length) : host.int32(stepRegion(name), length);
  };
  return Object.fromEntries(stepTensorNames.map((name) => [name, view(name)])) as unknown as StepTensors;
}
