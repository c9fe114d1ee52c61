/**
 * llama2.c's float32 checkpoints (its version 0, which has no magic number) and vocabulary files.
 *
 * Checkpoint, little-endian: dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len as int32, vocab_size negative where the
 * classifier is a matrix of its own; then f32 matrices [out, in], each kind for all layers before the next kind; two tables for rotary
 * angles, [seq_len, head size / 2] each, which nothing needs; the classifier where it is there.
 * Vocabulary: int32 longest length, then for each token f32 score, int32 length, bytes.
 */
import { InvalidRequestError, TokenType } from "@thermocline/spec";

const headerBytes = 28;
const cure = "give a llama2.c checkpoint of version 0 and the vocabulary that belongs to it";

/**
 * @typedef {{ readonly name: string, readonly shape: readonly number[], readonly values: Float32Array }} CheckpointTensor
 * @typedef {{ readonly hiddenSize: number, readonly intermediateSize: number, readonly numLayers: number, readonly numHeads: number,
 *   readonly numKvHeads: number, readonly vocabularySize: number, readonly contextLength: number }} CheckpointShape
 */

/**
 * The checkpoint at the start of `bytes`, its tensors under GGUF's names. Both formats rotate neighbouring pairs of a head's elements, so
 * queries and keys stay as they are.
 * @param {Uint8Array} bytes
 * @returns {{ readonly shape: CheckpointShape, readonly tensors: readonly CheckpointTensor[], readonly byteLength: number }}
 * @throws InvalidRequestError where the bytes are no checkpoint, or fewer than its header says.
 */
export function readCheckpoint(bytes) {
  const shape = readShape(bytes);
  const { hiddenSize, intermediateSize, numLayers, numHeads, numKvHeads, vocabularySize, contextLength } = shape;
  const hasClassifier = shape.signedVocabularySize < 0;
  const headSize = hiddenSize / numHeads;
  const kvSize = headSize * numKvHeads;
  let byteLength = headerBytes;
  /** @type {CheckpointTensor[]} */
  const tensors = [];
  /** @param {string} name @param {readonly number[]} tensorShape */
  const take = (name, tensorShape) => {
    const numElements = tensorShape.reduce((product, size) => product * size, 1);
    if (byteLength + numElements * 4 > bytes.length)
      throw new InvalidRequestError("checkpoint", bytes.length, `${bytes.length} bytes end before ${name} does`, cure);
    // A copy: the tensor need not begin at a multiple of four.
    const values = new Float32Array(new Uint8Array(bytes.subarray(byteLength, byteLength + numElements * 4)).buffer);
    byteLength += numElements * 4;
    tensors.push({ name, shape: tensorShape, values });
  };
  /** @param {string} name @param {readonly number[]} tensorShape */
  const takeLayers = (name, tensorShape) => {
    for (let layer = 0; layer < numLayers; layer++) take(`blk.${layer}.${name}.weight`, tensorShape);
  };
  take("token_embd.weight", [vocabularySize, hiddenSize]);
  takeLayers("attn_norm", [hiddenSize]);
  takeLayers("attn_q", [hiddenSize, hiddenSize]);
  takeLayers("attn_k", [kvSize, hiddenSize]);
  takeLayers("attn_v", [kvSize, hiddenSize]);
  takeLayers("attn_output", [hiddenSize, hiddenSize]);
  takeLayers("ffn_norm", [hiddenSize]);
  takeLayers("ffn_gate", [intermediateSize, hiddenSize]);
  takeLayers("ffn_down", [hiddenSize, intermediateSize]);
  takeLayers("ffn_up", [intermediateSize, hiddenSize]);
  take("output_norm.weight", [hiddenSize]);
  byteLength += 2 * contextLength * (headSize / 2) * 4;
  if (hasClassifier) take("output.weight", [vocabularySize, hiddenSize]);
  if (byteLength > bytes.length) throw new InvalidRequestError("checkpoint", bytes.length, "ends inside the rotary tables", cure);
  const { signedVocabularySize: _, ...plainShape } = shape;
  return { shape: plainShape, tensors, byteLength };
}

/** @param {Uint8Array} bytes */
function readShape(bytes) {
  if (bytes.length < headerBytes) throw new InvalidRequestError("checkpoint", bytes.length, "is shorter than a header", cure);
  const view = new DataView(bytes.buffer, bytes.byteOffset, headerBytes);
  const [hiddenSize, intermediateSize, numLayers, numHeads, numKvHeads, signedVocabularySize, contextLength] = /** @type {const} */ ([
    0, 4, 8, 12, 16, 20, 24,
  ]).map((offset) => view.getInt32(offset, true));
  const vocabularySize = Math.abs(signedVocabularySize);
  const shape = { hiddenSize, intermediateSize, numLayers, numHeads, numKvHeads, vocabularySize, contextLength, signedVocabularySize };
  const sizes = [hiddenSize, intermediateSize, numLayers, numHeads, numKvHeads, vocabularySize, contextLength];
  if (sizes.some((size) => size < 1 || size > 1 << 20) || hiddenSize % (2 * numHeads) !== 0 || numHeads % numKvHeads !== 0)
    throw new InvalidRequestError("checkpoint", sizes.join(" "), `has sizes ${sizes.join(", ")}, which no model has`, cure);
  return shape;
}

/**
 * @param {Uint8Array} bytes From the vocabulary's start.
 * @param {number} size
 * @returns {{ readonly tokens: readonly string[], readonly scores: Float32Array, readonly types: Int32Array }} As GGUF stores them: byte
 * tokens by name, `▁` for a space.
 * @throws InvalidRequestError
 */
export function readVocabulary(bytes, size) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const tokens = [];
  const scores = new Float32Array(size);
  const types = new Int32Array(size);
  const named = ["<unk>", "<s>", "</s>"];
  let offset = 4;
  for (let id = 0; id < size; id++) {
    const byteLength = offset + 8 <= bytes.length ? view.getInt32(offset + 4, true) : -1;
    if (byteLength < 0 || offset + 8 + byteLength > bytes.length)
      throw new InvalidRequestError("vocabulary", bytes.length, `ends at token ${id} of ${size}`, cure);
    scores[id] = view.getFloat32(offset, true);
    const text = bytes.subarray(offset + 8, offset + 8 + byteLength);
    offset += 8 + byteLength;
    const byte = id - named.length;
    if (byte < 0) {
      tokens.push(named[id]);
      types[id] = id === 0 ? TokenType.unknown : TokenType.control;
    } else if (byte < 256) {
      tokens.push(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
      types[id] = TokenType.byte;
    } else {
      tokens.push(decoder.decode(text).replaceAll(" ", "▁"));
      types[id] = TokenType.normal;
    }
  }
  return { tokens, scores, types };
}
