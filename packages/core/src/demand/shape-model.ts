/** Any decoder's header → the shape of its layers. Knows no architecture but by its keys and tensors, and by what their names leave out. */
import { InvalidTensorError, type ModelSource, UnsupportedModelError } from "@thermocline/spec";
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
  if (![...source.tensors.keys()].some((name) => name.startsWith("blk.")))
    throw new UnsupportedModelError(architecture, "tensors", "the file holds no layers of a decoder, which are called blk.0 and so on");
  const metadata = new ArchitectureMetadata(source, architecture);
  refuseUnknownCaches(metadata);
  const numLayers = countLayers(metadata);
  const hiddenSize = metadata.positive("embedding_length");
  const contextLength = metadata.positive("context_length");
  const numAhead = metadata.number("nextn_predict_layers", 0);
  if (!Number.isInteger(numAhead) || numAhead < 0 || numAhead >= numLayers)
    throw metadata.unsupported("nextn_predict_layers", `${numAhead} of ${numLayers} layers cannot predict further tokens`);

  const isEmbedder = metadata.number("pooling_type", 0) !== 0 || !metadata.boolean("attention.causal", true);
  const grouped = groupByLayer(metadata, numLayers);
  const tensors = grouped.layers.slice(0, numLayers - numAhead);
  const windows = readWindows(metadata, numLayers);
  const states = tensors.map((layer, index) => readRecurrentState(metadata, index, layer));
  const attention = readAttention(metadata, tensors, {
    hiddenSize,
    slidingWindows: windows.slidingWindows,
    isRecurrent: states.map((state) => state !== undefined),
    numLayers,
    keepsNothing: isEmbedder,
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
  const vocabSize = vocabSizeOf(source);
  if (vocabSize === 0) throw new InvalidTensorError("token_embd.weight", "a row for each token", "none");
  return {
    architecture,
    hiddenSize,
    numResidualStreams: metadata.positive("altup.num_inputs", 1),
    vocabSize,
    contextLength,
    isEmbedder,
    layers,
    tensors: grouped.others,
    assumptions: [
      ...(windows.assumption === undefined ? [] : [windows.assumption]),
      ...(numAhead === 0
        ? []
        : [`Layers that only predict further tokens, ${numAhead} of the file's ${numLayers}, are not counted, as nothing here runs them.`]),
      ...(attention.some(({ kind }) => kind === "shared") ? [sharedAssumption] : []),
    ],
  };
}

/** What would be far from the truth if it were passed over. */
function refuseUnknownCaches({ source, architecture }: ArchitectureMetadata): void {
  const refuse = (key: string, problem: string) => {
    throw new UnsupportedModelError(architecture, `${architecture}.${key}`, problem);
  };
  if (source.metadata.has(`${architecture}.attention.compress_ratios`))
    refuse("attention.compress_ratios", "keeps one entry for several tokens, which is not known here");
  if (Number(source.metadata.get(`${architecture}.num_loops`) ?? 1) !== 1)
    refuse("num_loops", "runs its layers several times, with a cache for each, which is not known here");
}

const sharedAssumption =
  "Some layers read the KV cache of an earlier one; what changes hands where the two lie on different devices is not counted.";
