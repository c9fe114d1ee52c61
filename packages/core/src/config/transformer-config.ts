/** What llama-shaped architectures share: sizes, heads, rope and activation. */
import {
  type Activation,
  InvalidTensorError,
  type LayerConfig,
  type ModelConfig,
  type ModelSource,
  type RopeMode,
  UnsupportedModelError,
} from "@thermocline/spec";
import type { ArchitectureMetadata } from "./architecture-metadata.js";

const activations: readonly Activation[] = ["silu", "gelu", "relu"];

/** @throws InvalidTensorError for a key that is missing or malformed; UnsupportedModelError for what these graphs lack. */
export function readTransformerConfig(metadata: ArchitectureMetadata, ropeMode: RopeMode): ModelConfig {
  refuseOtherLayouts(metadata);
  const numLayers = countLayers(metadata);
  const hiddenSize = positive(metadata, "embedding_length", metadata.number("embedding_length"));
  const numHeads = metadata.perLayer("attention.head_count", numLayers);
  const numKvHeads = metadata.perLayer("attention.head_count_kv", numLayers, numHeads[0]!);
  const headDimK = metadata.number("attention.key_length", hiddenSize / numHeads[0]!);
  const headDimV = metadata.number("attention.value_length", headDimK);
  const feedForwardLength = metadata.perLayer("feed_forward_length", numLayers);
  const ropeDims = metadata.number("rope.dimension_count", headDimK);
  refuseRopeScaling(metadata);
  if (metadata.number("expert_count", 0) > 0) throw metadata.unsupported("expert_count", "has experts, which this graph lacks");
  if (metadata.number("attention.sliding_window", 0) > 0)
    throw metadata.unsupported("attention.sliding_window", "has a sliding window, which this graph lacks");
  metadata.ignore("expert_used_count", "vocab_size", "tensor_data_layout");

  const normEps = metadata.number("attention.layer_norm_rms_epsilon");
  if (normEps < 0) throw metadata.unsupported("attention.layer_norm_rms_epsilon", `an epsilon of ${normEps} cannot be`);
  const theta = metadata.number("rope.freq_base", 10000);
  if (theta <= 0) throw metadata.unsupported("rope.freq_base", `a base of ${theta} cannot be`);
  const activation = metadata.string("feed_forward.activation", "silu") as Activation;
  if (!activations.includes(activation)) throw metadata.unsupported("feed_forward.activation", `activation ${activation} is unknown`);
  if (!Number.isInteger(headDimK) || !Number.isInteger(headDimV) || headDimK <= 0 || headDimV <= 0)
    throw metadata.unsupported("attention.key_length", `heads of ${headDimK} and ${headDimV} elements cannot be`);
  if (ropeDims % 2 !== 0 || ropeDims > headDimK || ropeDims <= 0)
    throw metadata.unsupported("rope.dimension_count", `${ropeDims} of a head's ${headDimK} elements cannot be rotated`);

  const layers = numHeads.map((heads, layer): LayerConfig => {
    const kvHeads = numKvHeads[layer]!;
    if (!(heads > 0 && kvHeads > 0 && heads % kvHeads === 0))
      throw metadata.unsupported("attention.head_count_kv", `${heads} heads cannot share ${kvHeads} KV heads`);
    return {
      numHeads: heads,
      numKvHeads: kvHeads,
      headDimK,
      headDimV,
      feedForwardLength: positive(metadata, "feed_forward_length", feedForwardLength[layer]!),
      attentionScale: 1 / Math.sqrt(headDimK),
      rope: { theta, dims: ropeDims, mode: ropeMode, magnitude: 1 },
    };
  });
  return {
    architecture: metadata.architecture,
    vocabSize: vocabSizeOf(metadata.source),
    hiddenSize,
    contextLength: positive(metadata, "context_length", metadata.number("context_length")),
    normEps,
    activation,
    layers,
  };
}

/** Files that are sound but no input of these graphs. */
function refuseOtherLayouts({ source, architecture }: ArchitectureMetadata): void {
  const refuse = (feature: string, problem: string) => {
    throw new UnsupportedModelError(architecture, feature, problem);
  };
  if (source.tensors.size === 0) refuse("tensors", "the file holds a vocabulary and no weights");
  const transposed = "blk.0.ffn_down_t.weight";
  if (source.tensors.has(transposed)) refuse(transposed, "the file is laid out for row-sparse execution, which this graph lacks");
}

/** Every layer has tensors, so a count beyond theirs is wrong; found out before anything is made for each layer. */
function countLayers(metadata: ArchitectureMetadata): number {
  const numLayers = positive(metadata, "block_count", metadata.number("block_count"));
  const { size } = metadata.source.tensors;
  if (numLayers <= size) return numLayers;
  throw new InvalidTensorError(`metadata ${metadata.architecture}.block_count`, `at most the file's ${size} tensors`, String(numLayers));
}

function refuseRopeScaling(metadata: ArchitectureMetadata): void {
  const type = metadata.string("rope.scaling.type", "none");
  const factor = metadata.number("rope.scaling.factor", metadata.number("rope.scale_linear", 1));
  if (type !== "none" || factor !== 1)
    throw metadata.unsupported("rope.scaling.type", `rope scaling ${type} by ${factor} is not in this graph`);
  metadata.ignore("rope.scaling.original_context_length", "rope.scaling.finetuned");
}

function vocabSizeOf(source: ModelSource): number {
  const embedding = source.tensors.get("token_embd.weight");
  if (embedding === undefined || embedding.shape.length !== 2)
    throw new InvalidTensorError("token_embd.weight", "a matrix", embedding ? `shape [${embedding.shape}]` : "none");
  const [vocabSize] = embedding.shape as readonly [number, number];
  const numTokens = source.vocabulary?.tokens.length ?? 0;
  if (numTokens > vocabSize)
    throw new InvalidTensorError("token_embd.weight", `a row for each of ${numTokens} tokens`, `${vocabSize} rows`);
  return vocabSize;
}

function positive(metadata: ArchitectureMetadata, key: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidTensorError(`metadata ${metadata.architecture}.${key}`, "a positive whole number", String(value));
}
