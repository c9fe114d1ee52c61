/** A BERT of 8 kB with arbitrary weights and a few words. Its vectors mean nothing, and are always the same. */
import { buildGguf, type GgufValue } from "@thermocline/loader-gguf";

const hiddenSize = 32;
const feedForwardLength = 64;
const contextLength = 16;
const tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁a", "▁lake", "▁sea", "▁in", "▁summer", "s"];
const control = 3;

const u32 = (value: number): GgufValue => ({ type: "u32", value });

const matrices: [name: string, shape: readonly [number, number]][] = [
  ["token_embd", [tokens.length, hiddenSize]],
  ["token_types", [2, hiddenSize]],
  ["position_embd", [contextLength, hiddenSize]],
];
const linears: [name: string, shape: readonly [number, number]][] = [
  ...["attn_q", "attn_k", "attn_v", "attn_output"].map((name): [string, [number, number]] => [name, [hiddenSize, hiddenSize]]),
  ["ffn_up", [feedForwardLength, hiddenSize]],
  ["ffn_down", [hiddenSize, feedForwardLength]],
];
const norms = ["token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"];

export function tinyEmbeddingModel(): Uint8Array {
  const shapes = new Map<string, readonly number[]>(matrices.map(([name, shape]) => [`${name}.weight`, shape]));
  for (const [name, shape] of linears) shapes.set(`blk.0.${name}.weight`, shape).set(`blk.0.${name}.bias`, [shape[0]]);
  for (const name of norms) shapes.set(`${name}.weight`, [hiddenSize]).set(`${name}.bias`, [hiddenSize]);
  const metadata: Record<string, GgufValue> = {
    "general.architecture": "bert",
    "general.name": "tiny embeddings",
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
    "tokenizer.ggml.token_type": Int32Array.from(tokens, (_, id) => (id < 4 ? control : 1)),
    "tokenizer.ggml.padding_token_id": u32(0),
    "tokenizer.ggml.unknown_token_id": u32(1),
    "tokenizer.ggml.cls_token_id": u32(2),
    "tokenizer.ggml.seperator_token_id": u32(3),
  };
  return buildGguf({
    metadata: Object.entries(metadata),
    tensors: [...shapes].map(([name, shape]) => {
      const values = Float32Array.from({ length: shape.reduce((product, size) => product * size, 1) }, (_, index) =>
        /norm\.weight$/.test(name) ? 1 : Math.sin(index * 12.9898 + name.length) / 2,
      );
      return { name, dtype: "f32", shape, data: new Uint8Array(values.buffer) };
    }),
  });
}
