/** llama2.c's checkpoints as GGUF files: matrices in f32 or f16, norms in f32. */
import { writeGguf } from "@thermocline/loader-gguf";
import { InvalidRequestError } from "@thermocline/spec";
import { toFloat16 } from "./float16.mjs";
import { readCheckpoint, readVocabulary } from "./llama2c-checkpoint.mjs";

/** @param {import("./convert-llama2c.mjs").Llama2cConversion} conversion */
export async function convertLlama2c({ path, name, sourceUrl, checkpoint, vocabulary: vocabularyBytes, dtype }) {
  if (dtype !== "f32" && dtype !== "f16") throw new InvalidRequestError("dtype", dtype, `${dtype} is not written`, "use f32 or f16");
  const { shape, tensors, byteLength } = readCheckpoint(checkpoint);
  const vocabulary = readVocabulary(vocabularyBytes ?? checkpoint.subarray(byteLength), shape.vocabularySize);
  /** @param {number} value */
  const u32 = (value) => /** @type {const} */ ({ type: "u32", value });
  /** @type {readonly (readonly [string, import("@thermocline/loader-gguf").GgufValue])[]} */
  const metadata = [
    ["general.architecture", "llama"],
    ["general.name", name],
    ["general.license", "mit"],
    ["general.source.url", sourceUrl],
    // llama.cpp's numbers for files of mostly f32 and mostly f16.
    ["general.file_type", u32(dtype === "f32" ? 0 : 1)],
    ["llama.context_length", u32(shape.contextLength)],
    ["llama.embedding_length", u32(shape.hiddenSize)],
    ["llama.block_count", u32(shape.numLayers)],
    ["llama.feed_forward_length", u32(shape.intermediateSize)],
    ["llama.attention.head_count", u32(shape.numHeads)],
    ["llama.attention.head_count_kv", u32(shape.numKvHeads)],
    ["llama.attention.layer_norm_rms_epsilon", { type: "f32", value: 1e-5 }],
    ["llama.rope.dimension_count", u32(shape.hiddenSize / shape.numHeads)],
    ["llama.vocab_size", u32(shape.vocabularySize)],
    ["tokenizer.ggml.model", "llama"],
    ["tokenizer.ggml.tokens", vocabulary.tokens],
    ["tokenizer.ggml.scores", vocabulary.scores],
    ["tokenizer.ggml.token_type", vocabulary.types],
    ["tokenizer.ggml.bos_token_id", u32(1)],
    ["tokenizer.ggml.eos_token_id", u32(2)],
    ["tokenizer.ggml.unknown_token_id", u32(0)],
    ["tokenizer.ggml.add_bos_token", true],
  ];
  await writeGguf(path, {
    metadata,
    tensors: tensors.map(({ name: tensorName, shape: tensorShape, values }) => {
      const stored = tensorShape.length === 2 && dtype === "f16" ? toFloat16(values) : values;
      return {
        name: tensorName,
        dtype: stored === values ? "f32" : "f16",
        shape: tensorShape,
        data: new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength),
      };
    }),
  });
}
