/** A llama-shaped model of random weights whose tokens are syllables, so that it reads and writes text; a step takes well under a millisecond. */
import { buildGguf, openGguf } from "@thermocline/loader-gguf";
import { type ModelSource, TokenType } from "@thermocline/spec";

const hiddenSize = 16;
const feedForwardLength = 32;
const numHeads = 2;
const contextLength = 4096;

const space = "▁";
const letters = [..."abcdefghijklmnopqrstuvwxyz"];
const syllables = [..."bdfgklmnprst"].flatMap((consonant) => [..."aeiou"].map((vowel) => consonant + vowel));
const control = ["<s>", "</s>"];
const texts = [space, ...letters, ...syllables, ...letters.map((letter) => space + letter), ...syllables.map((text) => space + text)];
const tokens = ["<unk>", ...control, ...texts];
const types = [TokenType.unknown, ...control.map(() => TokenType.control), ...texts.map(() => TokenType.normal)];

/** Uniform in [-1, 1), from a 32-bit xorshift. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state / 2 ** 31;
  };
}

export function openSyllableModel(): Promise<ModelSource> {
  const random = createRandom(7);
  const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer);
  const matrix = (name: string, rows: number, columns: number, gain = 1) => {
    // Uniform values of this width keep a sum over the columns near the size of its terms' root mean square.
    const scale = gain * Math.sqrt(3 / columns);
    const values = Float32Array.from({ length: rows * columns }, () => scale * random());
    return { name, dtype: "f32", shape: [rows, columns], data: bytesOf(values) } as const;
  };
  const norm = (name: string) =>
    ({ name, dtype: "f32", shape: [hiddenSize], data: bytesOf(new Float32Array(hiddenSize).fill(1)) }) as const;
  const u32 = (value: number) => ({ type: "u32", value }) as const;
  const bytes = buildGguf({
    metadata: [
      ["general.architecture", "llama"],
      ["general.name", "syllables"],
      ["llama.block_count", u32(1)],
      ["llama.embedding_length", u32(hiddenSize)],
      ["llama.context_length", u32(contextLength)],
      ["llama.feed_forward_length", u32(feedForwardLength)],
      ["llama.attention.head_count", u32(numHeads)],
      ["llama.attention.layer_norm_rms_epsilon", { type: "f32", value: 1e-5 }],
      ["tokenizer.ggml.model", "llama"],
      ["tokenizer.ggml.tokens", tokens],
      ["tokenizer.ggml.token_type", Int32Array.from(types)],
      // Longer texts form first.
      ["tokenizer.ggml.scores", Float32Array.from(tokens, (text) => text.length)],
    ],
    tensors: [
      matrix("token_embd.weight", tokens.length, hiddenSize, 3),
      norm("blk.0.attn_norm.weight"),
      matrix("blk.0.attn_q.weight", hiddenSize, hiddenSize),
      matrix("blk.0.attn_k.weight", hiddenSize, hiddenSize),
      matrix("blk.0.attn_v.weight", hiddenSize, hiddenSize),
      matrix("blk.0.attn_output.weight", hiddenSize, hiddenSize),
      norm("blk.0.ffn_norm.weight"),
      matrix("blk.0.ffn_gate.weight", feedForwardLength, hiddenSize),
      matrix("blk.0.ffn_up.weight", feedForwardLength, hiddenSize),
      matrix("blk.0.ffn_down.weight", hiddenSize, feedForwardLength),
      norm("output_norm.weight"),
      // Logits that spread over several nats, so that few tokens tie.
      matrix("output.weight", tokens.length, hiddenSize, 3),
    ],
  });
  return openGguf(new Blob([bytes as Uint8Array<ArrayBuffer>]));
}
