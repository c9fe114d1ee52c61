/** The tensors that the caller fills before a step and reads after it: names, dtypes and shapes in one table. */
import { type Dim, type DType, samplingColumns } from "@thermocline/spec";
import type { HostLayout, HostMemory } from "./host-memory.js";
import { largestByteLength, type StepLimits } from "./step-limits.js";

export const stepTensorNames = [
  "tokenIds",
  "positions",
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

/** Each group of layers that share KV blocks has its own. */
export const kvStepTensorNames = ["slotMapping", "blockTables"] as const;
export type KvStepTensorName = (typeof kvStepTensorNames)[number];

interface StepTensorShape {
  readonly dtype: DType;
  readonly shape: readonly Dim[];
}

export function stepTensorShapes(limits: StepLimits): Record<StepTensorName | KvStepTensorName, StepTensorShape> {
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
export const kvStepRegion = (name: KvStepTensorName, group: number) => `step.${name}.${group}`;
/** [numOutputRows, vocabSize] of a scoring step. */
export const scoredLogitsRegion = "step.logits";
/** [numSequences, hiddenSize] of a step that embeds texts. */
export const embeddingsRegion = "step.embeddings";

export function addStepRegions(layout: HostLayout, limits: StepLimits): void {
  const shapes = stepTensorShapes(limits);
  const bytesOf = ({ dtype, shape }: StepTensorShape, among: StepLimits = limits) => largestByteLength(dtype, shape, among);
  // Scoring steps name more rows than sampling ones, and have no other of the tensors by output row.
  const maxOutputRows = Math.max(limits.maxOutputRows, limits.maxScoredTokens);
  layout.add(stepRegion("outputRows"), bytesOf(shapes.outputRows, { ...limits, maxOutputRows }), "staging");
  for (const name of stepTensorNames) layout.add(stepRegion(name), bytesOf(shapes[name]), "staging");
  for (const group of limits.kvGroups.keys()) {
    for (const name of kvStepTensorNames) layout.add(kvStepRegion(name, group), bytesOf(shapes[name]), "staging");
  }
}

type FloatTensorName = "samplingParams" | "editValues" | "surpriseLimits" | "logprobs";

/** Views over the shared memory; i32 tensors but for those that hold floats. */
export type StepTensors = Readonly<Record<Exclude<StepTensorName, FloatTensorName>, Int32Array>> &
  Readonly<Record<FloatTensorName, Float32Array>> & {
    /** In the order of `StepLimits.kvGroups`. */
    readonly kvGroups: readonly Readonly<Record<KvStepTensorName, Int32Array>>[];
  };

export function viewStepTensors(host: HostMemory, limits: StepLimits): StepTensors {
  const shapes = stepTensorShapes(limits);
  const view = (name: StepTensorName) => {
    const region = stepRegion(name);
    return shapes[name].dtype === "f32" ? host.float32(region) : host.int32(region);
  };
  const named = Object.fromEntries(stepTensorNames.map((name) => [name, view(name)]));
  const kvGroups = limits.kvGroups.map((_, group) => ({
    slotMapping: host.int32(kvStepRegion("slotMapping", group)),
    blockTables: host.int32(kvStepRegion("blockTables", group)),
  }));
  return { ...named, kvGroups } as unknown as StepTensors;
}
