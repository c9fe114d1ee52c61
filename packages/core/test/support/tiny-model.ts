/** A llama-shaped model of random Q8_0 weights, small enough for the reference to run a thousand steps of it. It knows no text. */
import { buildGguf, openGguf } from "@thermocline/loader-gguf";
import { dtypes, type ModelSource } from "@thermocline/spec";
import { createRandom } from "./embedded-model.js";

const hiddenSize = 64;
const feedForwardLength = 256;
const numLayers = 4;
const numHeads = 4;
const numKvHeads = 2;
export const tinyVocabSize = 256;

type Random = (n: number) => number;

/** Values uniform in about ±scale: 8-bit integers under one binary16 scale a block. */
function randomBlocks(numElements: number, scale: number, random: Random): Uint8Array {
  const { blockSize, blockBytes } = dtypes.q8_0;
  const bytes = new Uint8Array((numElements / blockSize) * blockBytes);
  // The binary16 nearest below scale / 127: sign 0, then exponent and mantissa.
  const exponent = Math.floor(Math.log2(scale / 127));
  const half = ((exponent + 15) << 10) | Math.floor((scale / 127 / 2 ** exponent - 1) * 1024);
  for (let block = 0; block < bytes.length; block += blockBytes) {
    bytes[block] = half & 0xff;
    bytes[block + 1] = half >> 8;
    for (let index = 2; index < blockBytes; index++) bytes[block + index] = random(255) - 127;
  }
  return bytes;
}

export function openTinyModel(seed = 1): Promise<ModelSource> {
  const random = createRandom(seed);
  const matrix = (name: string, rows: number, columns: number, gain = 1) => {
    // Uniform values of this width keep a sum over the columns near the size of its terms' root mean square.
    const scale = gain * Math.sqrt(3 / columns);
    return { name, dtype: "q8_0", shape: [rows, columns], data: randomBlocks(rows * columns, scale, random) } as const;
  };
  const norm = (name: string) =>
    ({ name, dtype: "f32", shape: [hiddenSize], data: new Uint8Array(new Float32Array(hiddenSize).fill(1).buffer) }) as const;
  const kvSize = (hiddenSize / numHeads) * numKvHeads;
  const layers = Array.from({ length: numLayers }, (_, layer) => [
    norm(`blk.${layer}.attn_norm.weight`),
    matrix(`blk.${layer}.attn_q.weight`, hiddenSize, hiddenSize),
    matrix(`blk.${layer}.attn_k.weight`, kvSize, hiddenSize),
    matrix(`blk.${layer}.attn_v.weight`, kvSize, hiddenSize),
    matrix(`blk.${layer}.attn_output.weight`, hiddenSize, hiddenSize),
    norm(`blk.${layer}.ffn_norm.weight`),
    matrix(`blk.${layer}.ffn_gate.weight`, feedForwardLength, hiddenSize),
    matrix(`blk.${layer}.ffn_up.weight`, feedForwardLength, hiddenSize),
    matrix(`blk.${layer}.ffn_down.weight`, hiddenSize, feedForwardLength),
  ]);
  const u32 = (value: number) => ({ type: "u32", value }) as const;
  const bytes = buildGguf({
    metadata: [
      ["general.architecture", "llama"],
      ["general.name", "tiny"],
      ["llama.block_count", u32(numLayers)],
      ["llama.embedding_length", u32(hiddenSize)],
      ["llama.context_length", u32(256)],
      ["llama.feed_forward_length", u32(feedForwardLength)],
      ["llama.attention.head_count", u32(numHeads)],
      ["llama.attention.head_count_kv", u32(numKvHeads)],
      ["llama.attention.layer_norm_rms_epsilon", { type: "f32", value: 1e-5 }],
    ],
    tensors: [
      matrix("token_embd.weight", tinyVocabSize, hiddenSize, 3),
      ...layers.flat(),
      norm("output_norm.weight"),
      // Logits that spread over several nats, so that few tokens tie.
      matrix("output.weight", tinyVocabSize, hiddenSize, 3),
    ],
  });
  return openGguf(new Blob([bytes as Uint8Array<ArrayBuffer>]));
}

/** A prompt of token ids. */
export const tinyPrompt = (length: number, seed: number): readonly number[] => {
  const random = createRandom(seed);
  return Array.from({ length }, () => random(tinyVocabSize));
};
