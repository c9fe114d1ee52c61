/**
 * Models of random weights, small enough for the reference to run hundreds of steps. Their bytes follow from name, options and seed alone,
 * and they are whole GGUF files, vocabulary included, that any engine can open. They know no text.
 */
import { buildGguf, type GgufValue, openGguf } from "@thermocline/loader-gguf";
import { byteLengthOf, type DType, dtypes, type ModelSource } from "@thermocline/spec";
import { f32, type RandomArchitecture, type RandomModelShape, randomArchitectures, smallShape, u32 } from "./random-architectures.js";

export type RandomModelName = keyof typeof randomArchitectures;
export const randomModelNames = Object.keys(randomArchitectures) as readonly RandomModelName[];

/** Logits spread over several nats, so that few tokens tie: their root mean square is about this. */
export const logitGain = 3;
/** The same of a router's logits: decisive, so that rounding seldom changes which experts are chosen. */
export const routerGain = 4;

export interface RandomModelOptions {
  /** Default 1. */
  readonly seed?: number;
  /** Replaces parts of the row's shape. */
  readonly shape?: Partial<RandomModelShape>;
  /** Replaces or adds keys under `<architecture>.`; undefined takes one away. */
  readonly keys?: Readonly<Record<string, GgufValue | undefined>>;
  /** Of the matrices. "mixed", the default: q8_0 where rows are whole blocks, but for every other layer's down. Of a mixture's layers only
   *  the last one's experts, so that no router sees values that kernels have rounded to 8 bits. Any other type makes every matrix whose rows
   *  are whole blocks of it one of zeros. */
  readonly dtype?: "mixed" | DType;
  /** Default true. Without one every token id is a token like any other. */
  readonly hasVocabulary?: boolean;
  /** Changes a tensor's bytes before they are written. */
  readonly change?: (tensor: { readonly name: string; readonly shape: readonly number[] }, bytes: Uint8Array) => void;
}

export const shapeOf = (name: RandomModelName, options: RandomModelOptions = {}): RandomModelShape => ({
  ...smallShape,
  ...(randomArchitectures[name] as RandomArchitecture).shape,
  ...options.shape,
});

/** The file without its tensors' data. */
export function randomModelContent(
  name: RandomModelName,
  options: RandomModelOptions = {},
): { readonly metadata: readonly [string, GgufValue][]; readonly tensors: readonly RandomTensor[] } {
  const row: RandomArchitecture = randomArchitectures[name];
  const shape = shapeOf(name, options);
  const metadata: [string, GgufValue][] = [
    ["general.architecture", row.architecture],
    // Engines know vocabularies of some models by this name.
    ["general.name", "random weights"],
  ];
  for (const [key, value] of Object.entries({ ...keysOf(row, shape), ...row.keys, ...options.keys })) {
    if (value !== undefined) metadata.push([`${row.architecture}.${key}`, value]);
  }
  return {
    metadata: options.hasVocabulary === false ? metadata : [...metadata, ...vocabularyOf(shape.vocabSize)],
    tensors: tensorsOf(row, shape, options.dtype ?? "mixed"),
  };
}

/** The file's bytes. */
export function buildRandomModel(name: RandomModelName, options: RandomModelOptions = {}): Uint8Array<ArrayBuffer> {
  const row: RandomArchitecture = randomArchitectures[name];
  const random = createRandom(options.seed ?? 1);
  const { metadata, tensors } = randomModelContent(name, options);
  return buildGguf({
    metadata,
    tensors: tensors.map((tensor) => {
      const data = dataOf(row, tensor, random);
      options.change?.(tensor, data);
      return { ...tensor, data };
    }),
  });
}

export const openRandomModel = (name: RandomModelName, options: RandomModelOptions = {}): Promise<ModelSource> =>
  openGguf(new Blob([buildRandomModel(name, options)]));

/** A prompt of token ids, without the vocabulary's special ones. */
export function randomPrompt(length: number, seed: number, vocabSize = smallShape.vocabSize): readonly number[] {
  const random = createRandom(seed);
  return Array.from({ length }, () => numSpecialTokens + Math.floor(random() * (vocabSize - numSpecialTokens)));
}

function keysOf(row: RandomArchitecture, shape: RandomModelShape): Record<string, GgufValue> {
  const { experts, headDim, ropeDims = headDim } = shape;
  const keys: Record<string, GgufValue> = {
    block_count: u32(shape.numLayers),
    context_length: u32(shape.contextLength),
    embedding_length: u32(shape.hiddenSize),
    feed_forward_length: u32(shape.feedForwardLength),
    vocab_size: u32(shape.vocabSize),
    "attention.head_count": u32(shape.numHeads),
    "attention.head_count_kv": u32(shape.numKvHeads),
    "attention.key_length": u32(headDim),
    "attention.value_length": u32(headDim),
    "attention.layer_norm_rms_epsilon": f32(1e-6),
    "rope.dimension_count": u32(ropeDims),
  };
  if (experts !== undefined) {
    keys.expert_count = u32(experts.count);
    keys.expert_used_count = u32(experts.used);
    // Architectures whose dense layers and experts differ in size name the experts' apart.
    keys[row.architecture === "llama" ? "feed_forward_length" : "expert_feed_forward_length"] = u32(experts.feedForwardLength);
  }
  return keys;
}

export interface RandomTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** Elements are uniform within `width` of the centre, which is 0 for q8_0. Those of other types are all 0. */
  readonly center: number;
  readonly width: number;
}

function tensorsOf(row: RandomArchitecture, shape: RandomModelShape, dtype: "mixed" | DType): readonly RandomTensor[] {
  const { hiddenSize, vocabSize, headDim, numHeads, numKvHeads, feedForwardLength, experts, ropeDims = headDim } = shape;
  const tensors: RandomTensor[] = [];
  const vector = (name: string, size: number, center: number, width: number) =>
    tensors.push({ name, shape: [size], dtype: "f32", center, width });
  const norm = (name: string, size = hiddenSize) => vector(`${name}.weight`, size, 1, 0.5);
  /** Sums over the columns have about `gain` times the root mean square of the input's elements. */
  const matrix = (name: string, sizes: readonly number[], gain = 1, isPlain = false) => {
    const columns = sizes.at(-1)!;
    const wanted = dtype === "mixed" ? "q8_0" : dtype;
    const takesWanted = (dtype !== "mixed" || !isPlain) && columns % dtypes[wanted].blockSize === 0;
    const width = gain * Math.sqrt(3 / columns);
    tensors.push({ name: `${name}.weight`, shape: sizes, dtype: takesWanted ? wanted : "f32", center: 0, width });
  };

  matrix("token_embd", [vocabSize, hiddenSize], logitGain);
  for (const { name } of row.ropeFactors ?? []) tensors.push({ name, shape: [ropeDims / 2], dtype: "f32", center: 0, width: 0 });
  for (let layer = 0; layer < shape.numLayers; layer++) {
    const at = (name: string) => `blk.${layer}.${name}`;
    const projections = [
      ["attn_q", numHeads * headDim],
      ["attn_k", numKvHeads * headDim],
      ["attn_v", numKvHeads * headDim],
    ] as const;
    const isMixture = experts !== undefined;
    norm(at("attn_norm"));
    if (row.isFused) matrix(at("attn_qkv"), [(numHeads + 2 * numKvHeads) * headDim, hiddenSize]);
    else for (const [name, rows] of projections) matrix(at(name), [rows, hiddenSize], 1, isMixture);
    if (row.hasBiases) for (const [name, rows] of projections) vector(at(`${name}.bias`), rows, 0, 0.5);
    if (row.hasHeadNorms) for (const name of ["attn_q_norm", "attn_k_norm"]) norm(at(name), headDim);
    matrix(at("attn_output"), [hiddenSize, numHeads * headDim], 1, isMixture);
    if (row.hasPostNorms) for (const name of ["post_attention_norm", "post_ffw_norm"]) norm(at(name));
    norm(at("ffn_norm"));
    const isPlain = layer % 2 === 0;
    if (isMixture) {
      const { count, feedForwardLength: expertLength } = experts;
      const isLast = layer === shape.numLayers - 1;
      matrix(at("ffn_gate_inp"), [count, hiddenSize], routerGain, true);
      for (const name of ["ffn_gate_exps", "ffn_up_exps"]) matrix(at(name), [count, expertLength, hiddenSize], 1, !isLast);
      matrix(at("ffn_down_exps"), [count, hiddenSize, expertLength], 2, !isLast);
    } else if (row.isFused) {
      matrix(at("ffn_up"), [2 * feedForwardLength, hiddenSize]);
      matrix(at("ffn_down"), [hiddenSize, feedForwardLength], 2, isPlain);
    } else {
      for (const name of ["ffn_gate", "ffn_up"]) matrix(at(name), [feedForwardLength, hiddenSize]);
      matrix(at("ffn_down"), [hiddenSize, feedForwardLength], 2, isPlain);
    }
  }
  norm("output_norm");
  if (!row.isTied) matrix("output", [vocabSize, hiddenSize], logitGain);
  return tensors;
}

function dataOf(row: RandomArchitecture, { name, shape, dtype, center, width }: RandomTensor, random: () => number): Uint8Array {
  const numElements = shape.reduce((product, size) => product * size, 1);
  if (dtype === "q8_0") return randomBlocks(numElements, width, random);
  if (dtype !== "f32") return new Uint8Array(byteLengthOf(dtype, numElements));
  const growth = row.ropeFactors?.find((factors) => factors.name === name)?.growth;
  const value = (index: number) =>
    growth === undefined ? center + width * (2 * random() - 1) : growth ** (index / Math.max(1, numElements - 1));
  return new Uint8Array(Float32Array.from({ length: numElements }, (_, index) => value(index)).buffer);
}

/** 8-bit integers under one binary16 scale, the same for every block. */
function randomBlocks(numElements: number, width: number, random: () => number): Uint8Array {
  const { blockSize, blockBytes } = dtypes.q8_0;
  const bytes = new Uint8Array((numElements / blockSize) * blockBytes);
  // The binary16 nearest below width / 127: sign 0, then exponent and mantissa.
  const exponent = Math.floor(Math.log2(width / 127));
  const half = ((exponent + 15) << 10) | Math.floor((width / 127 / 2 ** exponent - 1) * 1024);
  for (let block = 0; block < bytes.length; block += blockBytes) {
    bytes[block] = half & 0xff;
    bytes[block + 1] = half >> 8;
    for (let index = 2; index < blockBytes; index++) bytes[block + index] = Math.floor(random() * 255) - 127;
  }
  return bytes;
}

const numSpecialTokens = 4;
const numByteTokens = 256;

/** `<unk>`, `<s>`, `</s>`, a newline, and words that name their ids; all bytes in place of the newline where there is room for them, which
 *  llama.cpp asks for before it turns text into tokens. */
function vocabularyOf(vocabSize: number): [string, GgufValue][] {
  const bytes = vocabSize > 3 + numByteTokens ? Array.from({ length: numByteTokens }, (_, byte) => byte) : [0x0a];
  const first = ["<unk>", "<s>", "</s>", ...bytes.map((byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`)];
  const tokens = Array.from({ length: vocabSize }, (_, id) => first[id] ?? `▁t${id}`);
  return [
    ["tokenizer.ggml.model", "llama"],
    ["tokenizer.ggml.tokens", tokens],
    ["tokenizer.ggml.scores", Float32Array.from(tokens, (_, id) => -id)],
    ["tokenizer.ggml.token_type", Int32Array.from(tokens, (_, id) => [2, 3, 3][id] ?? (id < first.length ? 6 : 1))],
    ["tokenizer.ggml.bos_token_id", u32(1)],
    ["tokenizer.ggml.eos_token_id", u32(2)],
    ["tokenizer.ggml.unknown_token_id", u32(0)],
  ];
}

/** Uniform in [0, 1): a Weyl sequence through a multiply-xorshift hash. */
function createRandom(seed: number): () => number {
  let state = Math.imul(seed, 0x85ebca6b);
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let hash = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    hash = Math.imul(hash ^ (hash >>> 15), 0x735a2d97);
    return ((hash ^ (hash >>> 15)) >>> 0) / 2 ** 32;
  };
}
