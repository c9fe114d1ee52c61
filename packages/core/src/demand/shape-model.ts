/** Any decoder's header → the shape of its layers. Knows no architecture but by its keys and tensors, and by what their names leave out. */
import { type ModelSource, UnsupportedModelError } from "@thermocline/spec";
import { ArchitectureMetadata } from "../config/architecture-metadata.js";
import { countLayers, vocabSizeOf } from "../config/transformer-config.js";
import type { LayerShape, ModelShape } from "./shape.js";
import { readAttention } from "./shape-attention.js";
import { readFeedForward } from "./shape-feed-forward.js";
import { readRecurrentState } from "./shape-recurrent.js";
import { groupByLayer } from "./shape-tensors.js";
import { readWindows } from "./shape-windows.js";

/**
 * @throws UnsupportedModelError for a file that holds no decoder of layers; InvalidTensorError where keys or tensors are missing, malformed, or
 * contradict each other.
 */
export function readModelShape(source: ModelSource): ModelShape {
  const architecture = source.metadata.get("general.architecture");
  if (typeof architecture !== "string")
    throw new UnsupportedModelError("(none)", "general.architecture", "the file names no architecture, so its keys cannot be found");
  if (source.tensors.size === 0) throw new UnsupportedModelError(architecture, "tensors", "the file holds a vocabulary and no weights");
  const metadata = new ArchitectureMetadata(source, architecture);
  const numLayers = countLayers(metadata);
  const hiddenSize = metadata.positive("embedding_length");
  const contextLength = metadata.positive("context_length");
  const numAhead = metadata.number("nextn_predict_layers", 0);
  if (!Number.isInteger(numAhead) || numAhead < 0 || numAhead >= numLayers)
    throw metadata.unsupported("nextn_predict_layers", `${numAhead} of ${numLayers} layers cannot predict further tokens`);

  const grouped = groupByLayer(metadata, numLayers);
  const tensors = grouped.layers.slice(0, numLayers - numAhead);
  const windows = readWindows(metadata, numLayers);
  const states = tensors.map((layer, index) => readRecurrentState(metadata, index, layer));
  const attention = readAttention(metadata, tensors, {
    hiddenSize,
    slidingWindows: windows.slidingWindows,
    isRecurrent: states.map((state) => state !== undefined),
    numLayers,
  });
  const layers = tensors.map((layer, index): LayerShape => {
    const recurrentState = states[index];
    return {
      attention: attention[index]!,
      ...(recurrentState === undefined ? {} : { recurrentState }),
      feedForward: readFeedForward(metadata, index, layer, numLayers),
      tensors: layer,
    };
  });
  return {
    architecture,
    hiddenSize,
    numResidualStreams: metadata.positive("altup.num_inputs", 1),
    vocabSize: vocabSizeOf(source),
    contextLength,
    isEmbedder: source.metadata.has(`${architecture}.pooling_type`) || !metadata.boolean("attention.causal", true),
    layers,
    tensors: grouped.others,
    assumptions: [
      ...(windows.assumption === undefined ? [] : [windows.assumption]),
      ...(numAhead === 0 ? [] : [`The last ${numAhead} layers predict further tokens; they are not counted, as nothing here runs them.`]),
      ...(attention.some(({ kind }) => kind === "shared") ? [sharedAssumption] : []),
    ],
  };
}

const sharedAssumption =
  "Some layers read the KV cache of an earlier one; what changes hands where the two lie on different devices is not counted.";
