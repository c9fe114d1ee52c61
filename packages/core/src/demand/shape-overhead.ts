/**
 * What a device needs beside weights and caches for a model without a graph: upper bounds from the shapes of the model's tensors.
 *
 * Activations. For the R tokens of a step a unit writes a row as long as each of its norms, the outputs of each of its matrices (once for each
 * expert that a token uses), and vectors of the residual stream: the stream in and out and a partial sum, and where there are other devices a copy
 * of one of theirs, and the sum before and after it. Attention also writes its own output, as long as the values of all heads; a recurrence
 * at most `recurrentVectors` as long as the layer's widest matrix: its convolved inputs, two gates and its output. All of it is added up as
 * though nothing were dead before the last is written, and the largest workspace with it, since a workspace lives during one command. What
 * lives at once is a part of that; only the residual stream outlives its unit, so that a device's arena is the bound of its largest unit.
 *
 * Command lists. Each variant of the graph has a unit's commands, and its hand-overs' copies, signals, waits and sums; each is counted as the
 * longest command.
 */
import { type BackendTraits, byteLengthOf, opNames, packedCommandByteLength, type TensorInfo } from "@thermocline/spec";
import { alignUp } from "../graph/arena-plan.js";
import { bytesPerSignal, HostLayout, paddedByteLength } from "../graph/host-memory.js";
import type { StepLimits } from "../graph/step-limits.js";
import { addStepRegions } from "../graph/step-tensors.js";
import type { LayerShape, ModelShape } from "./shape.js";
import { expertTensor, singleExpertTensor } from "./shape-feed-forward.js";
import type { ShapeUnit } from "./shape-units.js";

const streamVectorsOf = (numDevices: number) => (numDevices < 2 ? 3 : 6);
const recurrentVectors = 4;
const longestCommand = Math.max(...opNames.map(packedCommandByteLength));

const floatBytes = (numElements: number) => byteLengthOf("f32", numElements);

/** Of a device, one of `numDevices`, that holds these units. */
export function activationBytes(
  shape: ModelShape,
  units: readonly ShapeUnit[],
  traits: BackendTraits,
  limits: StepLimits,
  numDevices: number,
): number {
  const streamVectors = streamVectorsOf(numDevices);
  return units.reduce((most, unit) => Math.max(most, unitActivationBytes(shape, unit, traits, limits, streamVectors)), 0);
}

function unitActivationBytes(
  shape: ModelShape,
  { unit, tensors }: ShapeUnit,
  traits: BackendTraits,
  limits: StepLimits,
  streamVectors: number,
): number {
  const { maxBatchTokens, maxSequences } = limits;
  const layer = shape.layers[unit.layer];
  const streamBytes = maxBatchTokens * floatBytes(shape.hiddenSize * shape.numResidualStreams);
  const isHead = unit.kind === "head";
  const outputRows = Math.max(limits.maxOutputRows, limits.maxScoredTokens);
  let numActivations = streamVectors + 1;
  let sum = streamVectors * streamBytes;
  let workspace = 0;
  for (const info of tensors) {
    const ownName = info.name.replace(/^blk\.\d+\./, "");
    const rows = isHead ? outputRows : maxBatchTokens;
    sum += rows * floatBytes(outputLength(unit.kind === "embedding", ownName, info, layer));
    numActivations++;
    workspace = Math.max(workspace, workspaceOf(ownName, info, traits, rows, layer));
  }
  if (layer !== undefined && unit.kind === "attention") {
    sum += maxBatchTokens * floatBytes(attendedLength(layer));
    // A sparse layer scores every token that it could look at.
    if (layer.attention.kind === "latent" && layer.attention.indexLength > 0) sum += maxBatchTokens * floatBytes(limits.contextLength);
    if (layer.recurrentState !== undefined) {
      const widest = Math.max(0, ...tensors.map((info) => (info.shape.length < 2 ? 0 : numRows(info))));
      sum += recurrentVectors * maxBatchTokens * floatBytes(widest);
      numActivations += recurrentVectors;
    }
    // Keys and values of whole texts, in blocks of which each text's last is not full.
    if (shape.isEmbedder) sum += 2 * (maxBatchTokens + maxSequences * limits.blockSize) * floatBytes(shape.hiddenSize);
    numActivations += 3;
  }
  if ((unit.kind === "router" || unit.kind === "experts") && layer?.feedForward.kind === "experts") {
    // Ids and weights of each token's experts and their copies, and the experts' scores once they are biased.
    const { count, used } = layer.feedForward;
    sum += maxBatchTokens * floatBytes(4 * used + (unit.kind === "router" ? count : 0));
    numActivations += 5;
  }
  if (isHead) {
    sum += outputRows * floatBytes(shape.hiddenSize);
    const sampling = traits.workspaceByteLength({ op: "sample", dtype: "f32", rows: limits.maxOutputRows, columns: shape.vocabSize });
    workspace = Math.max(workspace, sampling);
    numActivations++;
  }
  return alignUp(Math.ceil(sum + workspace), traits.alignment) + numActivations * traits.alignment;
}

/** Elements that a token's row of the tensor's product, or a norm, has. */
function outputLength(isTable: boolean, name: string, info: TensorInfo, layer: LayerShape | undefined): number {
  const { shape } = info;
  if (shape.length < 2) return name.endsWith("norm.weight") ? (shape[0] ?? 0) : 0;
  if (isTable) return shape.at(-1)!;
  const experts = layer?.feedForward.kind === "experts" ? layer.feedForward : undefined;
  if (expertTensor.test(name)) return shape.length < 3 ? 0 : (experts?.used ?? 1) * shape.at(-2)!;
  if (singleExpertTensor.test(name)) return experts === undefined ? 0 : Math.ceil((numRows(info) * experts.used) / experts.count);
  return numRows(info);
}

const numRows = ({ shape }: TensorInfo) => shape.slice(0, -1).reduce((product, size) => product * size, 1);

function workspaceOf(
  name: string,
  { dtype, shape }: TensorInfo,
  traits: BackendTraits,
  rows: number,
  layer: LayerShape | undefined,
): number {
  if (shape.length < 2) return 0;
  const columns = shape.at(-1)!;
  if (!expertTensor.test(name) || layer?.feedForward.kind !== "experts")
    return traits.workspaceByteLength({ op: "matmul", dtype, rows, columns });
  const { count, used } = layer.feedForward;
  return traits.workspaceByteLength({ op: "expertMatmul", dtype, rows: rows * used, columns, experts: count });
}

/** Values of all heads, in the space of the latents where there are such; where one matrix makes keys and values of them, also the queries. */
function attendedLength({ attention, tensors }: LayerShape): number {
  switch (attention.kind) {
    case "grouped-query":
      return attention.numHeads * attention.valueLength;
    case "latent":
      return attention.numHeads * attention.latentLength * (tensors.has("attn_k_b.weight") ? 1 : 2);
    default:
      return tensors.get("attn_output.weight")?.shape.at(-1) ?? 0;
  }
}

/** What the caller fills and reads in host memory: the step tensors of the engine itself. */
export function stagingBytes(shape: ModelShape, limits: StepLimits): number {
  const layout = new HostLayout();
  addStepRegions(layout, limits);
  const logits = limits.maxScoredTokens * floatBytes(shape.vocabSize);
  const vectors = shape.isEmbedder ? limits.maxSequences * floatBytes(shape.hiddenSize) : 0;
  return layout.byteLengthOfClass("staging") + paddedByteLength(logits) + paddedByteLength(vectors);
}

/** What `numDevices` devices hand over through host memory: the stream, a split layer's inputs and partial sums, and the signals. */
export function transferBytes(shape: ModelShape, units: readonly ShapeUnit[], limits: StepLimits, numDevices: number): number {
  if (numDevices < 2) return 0;
  const used = Math.max(0, ...shape.layers.map(({ feedForward }) => (feedForward.kind === "experts" ? feedForward.used : 0)));
  const vector = paddedByteLength(limits.maxBatchTokens * floatBytes(shape.hiddenSize * shape.numResidualStreams));
  const chosen = paddedByteLength(limits.maxBatchTokens * floatBytes(used));
  const numVectors = used === 0 ? 3 : 4;
  return numDevices * (numVectors * vector + 2 * chosen) + units.length * (2 * numDevices - 1) * bytesPerSignal;
}

export function commandListBytes({ isEmbedder }: ModelShape, units: readonly ShapeUnit[], limits: StepLimits, numDevices: number): number {
  // Without and with log-probabilities, and with logits; a model that makes vectors has one.
  const numVariants = isEmbedder ? 1 : limits.maxScoredTokens > 0 ? 3 : 2;
  // Three inputs published and received, and for each other device a signal, a wait, a copy and a sum.
  const handOverCommands = numDevices < 2 ? 0 : 6 + 4 * (numDevices - 1);
  const numCommands = units.reduce((sum, { unit }) => sum + unit.numCommands + handOverCommands, 0);
  return numVariants * numCommands * longestCommand;
}
