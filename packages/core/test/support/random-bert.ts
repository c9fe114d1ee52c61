/** A BERT of random weights in f32, as a whole GGUF file: its bytes follow from the options alone. */
import { buildGguf, type GgufValue } from "@thermocline/loader-gguf";
import { createRandom } from "./embedded-model.js";
import { f32, u32 } from "./random-architectures.js";
import type { ModelContent } from "./sparse-model.js";

export interface RandomBertOptions {
  readonly seed: number;
  readonly pooling: "mean" | "cls" | "last";
  /** Replaces or adds keys under `bert.`; undefined takes one away. */
  readonly keys?: Readonly<Record<string, GgufValue | undefined>>;
  /** Default: 64 and 96. */
  readonly shape?: { readonly hiddenSize: number; readonly feedForwardLength: number };
}

const smallShape = { hiddenSize: 64, feedForwardLength: 96 };
const numLayers = 3;
const numHeads = 4;
const contextLength = 128;
const vocabSize = 320;
/** Where BERT's own vocabulary has them. */
export const bertSpecialTokens = { pad: 0, unk: 100, cls: 101, sep: 102, mask: 103 } as const;
const poolingTypes = { mean: 1, cls: 2, last: 3 } as const;

interface BertTensor {
  readonly name: string;
  readonly dtype: "f32";
  readonly shape: readonly number[];
  /** Elements are uniform within `width` of the centre. */
  readonly center: number;
  readonly width: number;
}

export function buildRandomBert(options: RandomBertOptions): Uint8Array<ArrayBuffer> {
  const random = createRandom(options.seed);
  const withData = ({ center, width, ...tensor }: BertTensor) => {
    const length = tensor.shape.reduce((product, size) => product * size, 1);
    const values = Float32Array.from({ length }, () => center + width * (random(2 ** 24) / 2 ** 23 - 1));
    return { ...tensor, data: new Uint8Array(values.buffer) };
  };
  const { embeddings, layers } = tensorsOf(options);
  const layersWithData = layers.map(withData);
  return buildGguf({ metadata: metadataOf(options), tensors: [...embeddings.map(withData), ...layersWithData] });
}

/** The file without its tensors' data. */
export function randomBertContent(options: RandomBertOptions): ModelContent {
  const { embeddings, layers } = tensorsOf(options);
  return { metadata: metadataOf(options), tensors: [...embeddings, ...layers] };
}

function tensorsOf({ shape = smallShape }: RandomBertOptions): Readonly<Record<"embeddings" | "layers", readonly BertTensor[]>> {
  const { hiddenSize, feedForwardLength } = shape;
  const vector = (name: string, size: number, center: number): BertTensor => ({ name, dtype: "f32", shape: [size], center, width: 0.5 });
  /** Sums over the columns have the root mean square of the input's elements. */
  const matrix = (name: string, rows: number, columns: number, gain = 1): BertTensor => ({
    name,
    dtype: "f32",
    shape: [rows, columns],
    center: 0,
    width: gain * Math.sqrt(3 / columns),
  });
  const norm = (name: string) => [vector(`${name}.weight`, hiddenSize, 1), vector(`${name}.bias`, hiddenSize, 0)];
  const linear = (name: string, rows: number, columns: number) => [
    matrix(`${name}.weight`, rows, columns),
    vector(`${name}.bias`, rows, 0),
  ];
  const layers = Array.from({ length: numLayers }, (_, layer) => {
    const at = (name: string) => `blk.${layer}.${name}`;
    return [
      ...["attn_q", "attn_k", "attn_v", "attn_output"].flatMap((name) => linear(at(name), hiddenSize, hiddenSize)),
      ...norm(at("attn_output_norm")),
      ...linear(at("ffn_up"), feedForwardLength, hiddenSize),
      ...linear(at("ffn_down"), hiddenSize, feedForwardLength),
      ...norm(at("layer_output_norm")),
    ];
  });
  // Rows of about unit elements, so that tokens, positions and the type weigh alike.
  const rowGain = Math.sqrt(hiddenSize);
  const embeddings = [
    matrix("token_embd.weight", vocabSize, hiddenSize, rowGain),
    matrix("position_embd.weight", contextLength, hiddenSize, rowGain),
    matrix("token_types.weight", 2, hiddenSize, rowGain),
    ...norm("token_embd_norm"),
  ];
  return { embeddings, layers: layers.flat() };
}

const metadataOf = (options: RandomBertOptions) => [...withKeys(keysOf(options), options.keys ?? {}), ...vocabulary()];

function keysOf({ pooling, shape = smallShape }: RandomBertOptions): [string, GgufValue][] {
  const { hiddenSize, feedForwardLength } = shape;
  return [
    ["general.architecture", "bert"],
    ["general.name", "random weights"],
    ["bert.context_length", u32(contextLength)],
    ["bert.embedding_length", u32(hiddenSize)],
    ["bert.block_count", u32(numLayers)],
    ["bert.feed_forward_length", u32(feedForwardLength)],
    ["bert.attention.head_count", u32(numHeads)],
    ["bert.attention.layer_norm_epsilon", f32(1e-12)],
    ["bert.attention.causal", false],
    ["bert.pooling_type", u32(poolingTypes[pooling])],
  ];
}

function withKeys(entries: readonly [string, GgufValue][], keys: NonNullable<RandomBertOptions["keys"]>): [string, GgufValue][] {
  const merged = new Map<string, GgufValue | undefined>(entries);
  for (const [key, value] of Object.entries(keys)) merged.set(`bert.${key}`, value);
  return [...merged].flatMap(([key, value]) => (value === undefined ? [] : [[key, value]]));
}

/** Words and pieces of two letters beside the special tokens. */
function vocabulary(): [string, GgufValue][] {
  const special = new Map<number, string>(Object.entries(bertSpecialTokens).map(([name, id]) => [id, `[${name.toUpperCase()}]`]));
  const letter = (index: number) => String.fromCharCode(0x61 + (index % 26));
  const tokens = Array.from(
    { length: vocabSize },
    (_, id) => special.get(id) ?? `${id % 2 === 0 ? "▁" : ""}${letter(id >> 1)}${letter(id >> 4)}`,
  );
  return [
    ["tokenizer.ggml.model", "bert"],
    ["tokenizer.ggml.pre", "bert-bge"],
    ["tokenizer.ggml.tokens", tokens],
    ["tokenizer.ggml.token_type", Int32Array.from(tokens, (_, id) => (special.has(id) ? 3 : 1))],
    ["tokenizer.ggml.token_type_count", u32(2)],
    ["tokenizer.ggml.cls_token_id", u32(bertSpecialTokens.cls)],
    // GGUF's own spelling.
    ["tokenizer.ggml.seperator_token_id", u32(bertSpecialTokens.sep)],
    ["tokenizer.ggml.unknown_token_id", u32(bertSpecialTokens.unk)],
    ["tokenizer.ggml.padding_token_id", u32(bertSpecialTokens.pad)],
    ["tokenizer.ggml.mask_token_id", u32(bertSpecialTokens.mask)],
  ];
}

/** Token ids as an embedder feeds them: CLS, words, SEP. */
export function randomBertInput(numWords: number, seed: number): readonly number[] {
  const random = createRandom(seed);
  const first = bertSpecialTokens.mask + 1;
  const words = Array.from({ length: numWords }, () => first + random(vocabSize - first));
  return [bertSpecialTokens.cls, ...words, bertSpecialTokens.sep];
}
