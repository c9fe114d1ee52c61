/** A BERT-shaped model of one layer with arbitrary weights and a vocabulary of letters. Its vectors mean nothing, and are always the same. */
import { buildGguf, type GgufTensor, type GgufValue } from "@thermocline/loader-gguf";

const hiddenSize = 32;
const feedForwardLength = 48;
const contextLength = 16;

const special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];
// A mark stands before what begins a word.
const letters = [..."abcdefghijklmnopqrstuvwxyz"];
const tokens = [...special, ...letters.map((letter) => `▁${letter}`), ...letters];

const u32 = (value: number): GgufValue => ({ type: "u32", value });

export function tinyBert(): Uint8Array {
  const metadata: Record<string, GgufValue> = {
    "general.architecture": "bert",
    "general.name": "tiny bert",
    "bert.context_length": u32(contextLength),
    "bert.embedding_length": u32(hiddenSize),
    "bert.block_count": u32(1),
    "bert.feed_forward_length": u32(feedForwardLength),
    "bert.attention.head_count": u32(2),
    "bert.attention.layer_norm_epsilon": { type: "f32", value: 1e-12 },
    "bert.attention.causal": false,
    "bert.pooling_type": u32(1),
    "tokenizer.ggml.model": "bert",
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.token_type": Int32Array.from(tokens, (_, id) => (id < special.length ? 3 : 1)),
    "tokenizer.ggml.padding_token_id": u32(0),
    "tokenizer.ggml.unknown_token_id": u32(1),
    "tokenizer.ggml.cls_token_id": u32(2),
    "tokenizer.ggml.bos_token_id": u32(2),
    "tokenizer.ggml.seperator_token_id": u32(3),
    "tokenizer.ggml.eos_token_id": u32(3),
  };
  const norm = (name: string) => [tensorOf(`${name}.weight`, [hiddenSize], 1), tensorOf(`${name}.bias`, [hiddenSize], 0)];
  const linear = (name: string, rows: number, columns: number) => [
    tensorOf(`${name}.weight`, [rows, columns], 0),
    tensorOf(`${name}.bias`, [rows], 0),
  ];
  const tensors = [
    tensorOf("token_embd.weight", [tokens.length, hiddenSize], 0),
    tensorOf("position_embd.weight", [contextLength, hiddenSize], 0),
    tensorOf("token_types.weight", [2, hiddenSize], 0),
    ...norm("token_embd_norm"),
    ...["attn_q", "attn_k", "attn_v", "attn_output"].flatMap((name) => linear(`blk.0.${name}`, hiddenSize, hiddenSize)),
    ...norm("blk.0.attn_output_norm"),
    ...linear("blk.0.ffn_up", feedForwardLength, hiddenSize),
    ...linear("blk.0.ffn_down", hiddenSize, feedForwardLength),
    ...norm("blk.0.layer_output_norm"),
  ];
  return buildGguf({ metadata: Object.entries(metadata), tensors });
}

function tensorOf(name: string, shape: readonly number[], center: number): GgufTensor<Uint8Array> {
  const count = shape.reduce((product, length) => product * length, 1);
  const values = Float32Array.from({ length: count }, (_, index) => center + Math.sin(index * 12.9898 + name.length) / 4);
  return { name, dtype: "f32", shape, data: new Uint8Array(values.buffer) };
}
