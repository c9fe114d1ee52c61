/**
 * States of recurrent layers, in f32 as every engine keeps them: state-space models (Mamba 1 and 2), gated delta rules, short convolutions and
 * RWKV. Sizes are those of the published recurrences: a convolution over k inputs keeps k − 1 of them; a state-space layer of n channels with a
 * state of s elements each keeps n · s; a delta rule keeps a matrix of key by value elements a head, RWKV a square one.
 */
import { InvalidTensorError } from "@thermocline/spec";
import type { ArchitectureMetadata } from "../config/architecture-metadata.js";
import type { RecurrentState } from "./shape.js";
import { type LayerTensors, rowsOf } from "./shape-tensors.js";

const convolution = /^(ssm_conv1d(_[qkv])?|shortconv\.conv)\.weight$/;

/**
 * Undefined for a layer without a recurrence.
 * @throws InvalidTensorError where keys are missing, malformed, or say something else than the tensors do.
 */
export function readRecurrentState(metadata: ArchitectureMetadata, layer: number, tensors: LayerTensors): RecurrentState | undefined {
  const names = [...tensors.keys()];
  const has = (prefix: string) => names.some((name) => name.startsWith(prefix));
  if (has("ssm_")) return readStateSpace(metadata, tensors);
  if (has("shortconv.")) return { convolutionElements: convolutionElements(metadata, "shortconv.l_cache", tensors), stateElements: 0 };
  if (has("time_mix_")) return readTimeMix(metadata, layer);
  return undefined;
}

function readStateSpace(metadata: ArchitectureMetadata, tensors: LayerTensors): RecurrentState {
  const convolutionSize = convolutionElements(metadata, "ssm.conv_kernel", tensors);
  const headLength = metadata.number("kda.head_dim", 0);
  if (headLength > 0) {
    const numHeads = headsOf(metadata, headLength, tensors);
    return { convolutionElements: convolutionSize, stateElements: numHeads * metadata.checkPositive("kda.head_dim", headLength) ** 2 };
  }
  const stateSize = metadata.positive("ssm.state_size");
  const output = tensors.get("ssm_out.weight");
  const innerSize = output?.shape.at(-1) ?? metadata.positive("ssm.inner_size");
  agree(metadata, "ssm.inner_size", innerSize);
  // Mamba 1 has a decay for each channel and element of the state, which says the size once more.
  const decay = tensors.get("ssm_a");
  if (tensors.has("ssm_x.weight") && decay !== undefined && decay.shape.at(-1) !== stateSize)
    throw new InvalidTensorError(decay.name, `a column for each of ${metadata.architecture}.ssm.state_size ${stateSize}`, `${decay.shape}`);
  const groupCount = metadata.number("ssm.group_count", 0);
  const mixed = tensors.get("ssm_conv1d.weight");
  if (!tensors.has("ssm_x.weight") && groupCount > 0 && mixed !== undefined) {
    // Mamba 2 and gated delta rules convolve the inputs together with the two projections that address the state.
    const channels = innerSize + 2 * groupCount * stateSize;
    if (channelsOf(mixed.shape) !== channels)
      throw new InvalidTensorError(mixed.name, `${channels} channels, as ${metadata.architecture}.ssm.* say`, `shape [${mixed.shape}]`);
  }
  return { convolutionElements: convolutionSize, stateElements: stateSize * innerSize };
}

/** Rows of the query projection over the elements of a head. */
function headsOf(metadata: ArchitectureMetadata, headLength: number, tensors: LayerTensors): number {
  const rows = rowsOf(tensors, "attn_q");
  if (rows !== undefined && Number.isInteger(rows / headLength)) return rows / headLength;
  throw new InvalidTensorError(
    tensors.get("attn_q.weight")?.name ?? "attn_q.weight",
    `whole heads of ${metadata.architecture}.kda.head_dim ${headLength}`,
    rows === undefined ? "none" : `${rows} rows`,
  );
}

function readTimeMix(metadata: ArchitectureMetadata, layer: number): RecurrentState {
  const hiddenSize = metadata.positive("embedding_length");
  const headSize = metadata.positive("wkv.head_size");
  if (hiddenSize % headSize !== 0)
    throw new InvalidTensorError(
      `metadata ${metadata.architecture}.wkv.head_size`,
      `a divisor of the hidden size ${hiddenSize} (layer ${layer})`,
      String(headSize),
    );
  return { convolutionElements: metadata.positive("token_shift_count", 2) * hiddenSize, stateElements: hiddenSize * headSize };
}

function convolutionElements(metadata: ArchitectureMetadata, key: string, tensors: LayerTensors): number {
  let elements = 0;
  for (const [name, { shape }] of tensors) {
    if (!convolution.test(name)) continue;
    const kernel = shape.at(-1) ?? 1;
    agree(metadata, key, kernel);
    elements += channelsOf(shape) * Math.max(kernel - 1, 0);
  }
  return elements;
}

function channelsOf(shape: readonly number[]): number {
  return shape.slice(0, -1).reduce((product, size) => product * size, 1);
}

/** A key that is there says what the tensors do. */
function agree(metadata: ArchitectureMetadata, key: string, expected: number): void {
  const value = metadata.number(key, expected);
  if (value === expected) return;
  throw new InvalidTensorError(`metadata ${metadata.architecture}.${key}`, `${expected}, as the tensors have it`, String(value));
}
