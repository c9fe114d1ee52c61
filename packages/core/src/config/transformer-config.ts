/** What llama-shaped architectures share: sizes, heads, rope, experts and activation. */
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
import { readExpertsConfig } from "./experts-config.js";
import { readRopeConfig } from "./rope-config.js";

const activations: readonly Activation[] = ["silu", "gelu", "relu"];

export interface TransformerOptions {
  readonly ropeMode: RopeMode;
  /** Where the file names none. Default: silu. */
  readonly activation?: Activation;
  /** Whether a file may, or must, have experts in place of the feed-forward network. Default: it may not. */
  readonly experts?: "allowed" | "required";
}

/** @throws InvalidTensorError for a key that is missing or malformed; UnsupportedModelError for what these graphs lack. */
export function readTransformerConfig(metadata: ArchitectureMetadata, options: TransformerOptions): ModelConfig {
  refuseOtherLayouts(metadata);
  const numLayers = countLayers(metadata);
  const hiddenSize = metadata.positive("embedding_length");
  const contextLength = metadata.positive("context_length");
  const numHeads = metadata.perLayer("attention.head_count", numLayers);
  const numKvHeads = metadata.perLayer("attention.head_count_kv", numLayers, numHeads[0]!);
  const headDimK = metadata.number("attention.key_length", hiddenSize / numHeads[0]!);
  const headDimV = metadata.number("attention.value_length", headDimK);
  if (!Number.isInteger(headDimK) || !Number.isInteger(headDimV) || headDimK <= 0 || headDimV <= 0)
    throw metadata.unsupported("attention.key_length", `heads of ${headDimK} and ${headDimV} elements cannot be`);
  refuseHeadsBeyondTensors(metadata, Math.max(headDimK, headDimV));
  const feedForwardLength = metadata.perLayer("feed_forward_length", numLayers);
  const rope = readRopeConfig(metadata, { mode: options.ropeMode, headDim: headDimK, contextLength });
  const experts = readExpertsConfig(metadata, feedForwardLength[0]!, options.experts);
  // Converters copy a second epsilon, of norms that these graphs have none of, where a model's own config names one.
  metadata.ignore("vocab_size", "tensor_data_layout", "attention.layer_norm_epsilon");

  const normEps = metadata.number("attention.layer_norm_rms_epsilon");
  if (normEps < 0) throw metadata.unsupported("attention.layer_norm_rms_epsilon", `an epsilon of ${normEps} cannot be`);
  const activation = metadata.string("feed_forward.activation", options.activation ?? "silu") as Activation;
  if (!activations.includes(activation)) throw metadata.unsupported("feed_forward.activation", `activation ${activation} is unknown`);

  const layers = numHeads.map((heads, layer): LayerConfig => {
    const kvHeads = numKvHeads[layer]!;
    if (!(Number.isInteger(heads) && Number.isInteger(kvHeads) && heads > 0 && kvHeads > 0 && heads % kvHeads === 0))
      throw metadata.unsupported("attention.head_count_kv", `${heads} heads cannot share ${kvHeads} KV heads`);
    return {
      numHeads: heads,
      numKvHeads: kvHeads,
      headDimK,
      headDimV,
      feedForwardLength: metadata.checkPositive("feed_forward_length", feedForwardLength[layer]!),
      attentionScale: 1 / Math.sqrt(headDimK),
      rope,
      ...(experts === undefined ? {} : { experts }),
    };
  });
  return {
    architecture: metadata.architecture,
    vocabSize: vocabSizeOf(metadata.source),
    hiddenSize,
    contextLength,
    normEps,
    activation,
    layers,
  };
}

/** Files that are sound but no input of these graphs. */
export function refuseOtherLayouts({ source, architecture }: ArchitectureMetadata): void {
  const refuse = (feature: string, problem: string) => {
    throw new UnsupportedModelError(architecture, feature, problem);
  };
  if (source.tensors.size === 0) refuse("tensors", "the file holds a vocabulary and no weights");
  const transposed = "blk.0.ffn_down_t.weight";
  if (source.tensors.has(transposed)) refuse(transposed, "the file is laid out for row-sparse execution, which this graph lacks");
}

/** Every layer has tensors, so a count beyond theirs is wrong; found out before anything is made for each layer. */
export function countLayers(metadata: ArchitectureMetadata): number {
  const numLayers = metadata.positive("block_count");
  const { size } = metadata.source.tensors;
  if (numLayers <= size) return numLayers;
  throw new InvalidTensorError(`metadata ${metadata.architecture}.block_count`, `at most the file's ${size} tensors`, String(numLayers));
}

/** A head's elements are rows of some tensor; found out before anything is made for each of them. */
function refuseHeadsBeyondTensors({ source, architecture }: ArchitectureMetadata, headDim: number): void {
  let mostRows = 0;
  for (const { shape } of source.tensors.values()) mostRows = Math.max(mostRows, ...shape);
  if (headDim <= mostRows) return;
  throw new InvalidTensorError(
    `metadata ${architecture}.attention.key_length`,
    `at most the ${mostRows} rows of a tensor`,
    String(headDim),
  );
}

/** Rows of the token embedding. */
export function vocabSizeOf(source: ModelSource): number {
  const embedding = source.tensors.get("token_embd.weight");
  if (embedding === undefined || embedding.shape.length !== 2)
    throw new InvalidTensorError("token_embd.weight", "a matrix", embedding ? `shape [${embedding.shape}]` : "none");
  const [vocabSize] = embedding.shape as readonly [number, number];
  // Types are there without a token being decoded.
  const numTokens = source.vocabulary?.types?.length ?? source.vocabulary?.tokens.length ?? 0;
  if (numTokens > vocabSize)
    throw new InvalidTensorError("token_embd.weight", `a row for each of ${numTokens} tokens`, `${vocabSize} rows`);
  return vocabSize;
}
