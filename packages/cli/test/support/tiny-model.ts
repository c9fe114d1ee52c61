/** A llama-shaped model of 20 kB with arbitrary weights and a byte vocabulary. It says nothing sensible, and always the same. */
import { buildGguf, type GgufTensor, type GgufValue } from "@thermocline/loader-gguf";

const hiddenSize = 32;
const feedForwardLength = 64;
const numLayers = 2;
const control = 3;
const byte = 6;

const tokens = [
  "<unk>",
  "<s>",
  "</s>",
  ...Array.from({ length: 256 }, (_, value) => `<0x${value.toString(16).toUpperCase().padStart(2, "0")}>`),
];

export interface TinyModelOptions {
  readonly metadata?: Readonly<Record<string, GgufValue>>;
  /** Tensor left out. */
  readonly without?: string;
  readonly vocabularyOnly?: boolean;
  /** One more tensor, of one f32. */
  readonly extraTensor?: string;
}

const u32 = (value: number): GgufValue => ({ type: "u32", value });

export function tinyModel({ metadata = {}, without, vocabularyOnly = false, extraTensor }: TinyModelOptions = {}): Uint8Array {
  const all: Record<string, GgufValue> = {
    "general.architecture": "llama",
    "general.name": "tiny",
    "llama.context_length": u32(64),
    "llama.embedding_length": u32(hiddenSize),
    "llama.block_count": u32(numLayers),
    "llama.feed_forward_length": u32(feedForwardLength),
    "llama.attention.head_count": u32(2),
    "llama.attention.head_count_kv": u32(1),
    "llama.attention.layer_norm_rms_epsilon": { type: "f32", value: 1e-5 },
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.scores": new Float32Array(tokens.length),
    "tokenizer.ggml.token_type": Int32Array.from(tokens, (_, id) => (id === 0 ? 2 : id < 3 ? control : byte)),
    ...metadata,
  };
  const tensors = vocabularyOnly ? [] : tensorShapes().filter(([name]) => name !== without);
  if (extraTensor !== undefined) tensors.push([extraTensor, [1]]);
  return buildGguf({ metadata: Object.entries(all), tensors: tensors.map(([name, shape]) => tensorOf(name, shape)) });
}

function tensorShapes(): [name: string, shape: number[]][] {
  const layer = (index: number): [string, number[]][] => [
    [`blk.${index}.attn_norm.weight`, [hiddenSize]],
    [`blk.${index}.attn_q.weight`, [hiddenSize, hiddenSize]],
    [`blk.${index}.attn_k.weight`, [hiddenSize / 2, hiddenSize]],
    [`blk.${index}.attn_v.weight`, [hiddenSize / 2, hiddenSize]],
    [`blk.${index}.attn_output.weight`, [hiddenSize, hiddenSize]],
    [`blk.${index}.ffn_norm.weight`, [hiddenSize]],
    [`blk.${index}.ffn_gate.weight`, [feedForwardLength, hiddenSize]],
    [`blk.${index}.ffn_up.weight`, [feedForwardLength, hiddenSize]],
    [`blk.${index}.ffn_down.weight`, [hiddenSize, feedForwardLength]],
  ];
  const layers = Array.from({ length: numLayers }, (_, index) => layer(index)).flat();
  return [["token_embd.weight", [tokens.length, hiddenSize]], ["output_norm.weight", [hiddenSize]], ...layers];
}

function tensorOf(name: string, shape: readonly number[]): GgufTensor<Uint8Array> {
  const count = shape.reduce((product, length) => product * length, 1);
  const isNorm = shape.length === 1;
  const values = Float32Array.from({ length: count }, (_, index) => (isNorm ? 1 : Math.sin(index * 12.9898 + name.length) / 4));
  return { name, dtype: "f32", shape, data: new Uint8Array(values.buffer) };
}
