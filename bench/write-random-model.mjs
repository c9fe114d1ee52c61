/**
 * Writes a llama-shaped GGUF file with random weights: the right bytes, shapes and vocabulary for measuring, and numbers that stay
 * finite, at any size.
 *
 *   node bench/write-random-model.mjs --shape 1.1b --dtype q4_0
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { writeGguf } from "@thermocline/loader-gguf";
import { InvalidRequestError } from "@thermocline/spec";
import { cacheFolder, cacheFolderPath } from "./cache-folder.mjs";
import { runAsCommand } from "./command-line.mjs";
import { createRandomVocabulary } from "./random-vocabulary.mjs";
import { createRandomWords, randomDTypes, randomWeightBytes } from "./random-weights.mjs";

/** @typedef {import("./write-random-model.mjs").RandomModelShape} RandomModelShape */
/** @typedef {import("./write-random-model.mjs").RandomModelOptions} RandomModelOptions */
/** @typedef {import("./random-weights.mjs").RandomDType} RandomDType */

/** 1.1b is TinyLlama's shape; 490m-moe reads about a third of its weights for each token. */
export const modelShapes = {
  "1.1b": {
    hiddenSize: 2048,
    numLayers: 22,
    numHeads: 32,
    numKvHeads: 4,
    intermediateSize: 5632,
    vocabularySize: 32000,
    contextLength: 4096,
  },
  "150m": {
    hiddenSize: 1024,
    numLayers: 8,
    numHeads: 16,
    numKvHeads: 4,
    intermediateSize: 2816,
    vocabularySize: 32000,
    contextLength: 2048,
  },
  "490m-moe": {
    hiddenSize: 1024,
    numLayers: 8,
    numHeads: 16,
    numKvHeads: 4,
    intermediateSize: 1024,
    numExperts: 16,
    numUsedExperts: 4,
    vocabularySize: 32000,
    contextLength: 2048,
  },
  tiny: { hiddenSize: 256, numLayers: 2, numHeads: 8, numKvHeads: 2, intermediateSize: 512, vocabularySize: 512, contextLength: 1024 },
};

/** `general.file_type` numbers of llama.cpp. */
const fileTypes = { f32: 0, f16: 1, q4_0: 2, q8_0: 7 };

/**
 * Root mean square of a matrix's elements, so that each layer adds a like amount and the residual stream about doubles over the model:
 * inputs of a matrix have a root mean square of 1 after a norm, of about 0.6 after silu(gate) · up. Logits of a router have a deviation of
 * 4: decisive, so that rounding seldom changes which experts are chosen.
 * @param {RandomModelShape} shape
 */
function matricesOf({ hiddenSize, numLayers, numHeads, numKvHeads, intermediateSize, numExperts, vocabularySize }) {
  const kvSize = (hiddenSize / numHeads) * numKvHeads;
  const residual = 1 / Math.sqrt(2 * numLayers);
  /** @type {{ name: string, shape: readonly number[], rootMeanSquare: number, isPlain?: boolean }[]} */
  const matrices = [{ name: "token_embd.weight", shape: [vocabularySize, hiddenSize], rootMeanSquare: 1 }];
  const [suffix, experts] = numExperts === undefined ? ["", []] : ["_exps", [numExperts]];
  for (let layer = 0; layer < numLayers; layer++) {
    /** @param {string} name @param {readonly number[]} shape @param {number} gain @param {boolean} [isPlain] */
    const add = (name, shape, gain, isPlain) =>
      matrices.push({ name: `blk.${layer}.${name}.weight`, shape, rootMeanSquare: gain / Math.sqrt(shape[shape.length - 1]), isPlain });
    add("attn_q", [hiddenSize, hiddenSize], 1);
    add("attn_k", [kvSize, hiddenSize], 1);
    add("attn_v", [kvSize, hiddenSize], 1);
    add("attn_output", [hiddenSize, hiddenSize], residual);
    if (numExperts !== undefined) add("ffn_gate_inp", [numExperts, hiddenSize], 4, true);
    add(`ffn_gate${suffix}`, [...experts, intermediateSize, hiddenSize], 1);
    add(`ffn_up${suffix}`, [...experts, intermediateSize, hiddenSize], 1);
    add(`ffn_down${suffix}`, [...experts, hiddenSize, intermediateSize], residual / 0.6);
  }
  // Logits with a deviation of 3: the most likely of 32,000 tokens stands out, and none is certain.
  matrices.push({ name: "output.weight", shape: [vocabularySize, hiddenSize], rootMeanSquare: 3 / Math.sqrt(hiddenSize) });
  return matrices;
}

/** @param {RandomModelShape} shape */
function checkShape(shape) {
  for (const [name, value] of Object.entries(shape)) {
    if (!Number.isSafeInteger(value) || value < 1)
      throw new InvalidRequestError(name, value, `is ${value}`, "give a positive whole number");
  }
  const { hiddenSize, numHeads, numKvHeads, numExperts, numUsedExperts } = shape;
  if ((numExperts === undefined) !== (numUsedExperts === undefined) || (numUsedExperts ?? 0) > (numExperts ?? 0))
    throw new InvalidRequestError(
      "numUsedExperts",
      numUsedExperts,
      `are ${numUsedExperts} of ${numExperts} experts`,
      "give both numbers, or neither",
    );
  if (hiddenSize % (2 * numHeads) !== 0)
    throw new InvalidRequestError("hiddenSize", hiddenSize, `${hiddenSize} is no even number for each of ${numHeads} heads`, "change one");
  if (numHeads % numKvHeads !== 0)
    throw new InvalidRequestError("numKvHeads", numKvHeads, `${numHeads} heads cannot share ${numKvHeads}`, "give a divisor of the heads");
}

/**
 * Norms around 1, the same way for each seed and name.
 * @param {number} length
 * @param {number} seed
 */
function normWeights(length, seed) {
  const words = new Uint32Array(length);
  createRandomWords(seed)(words);
  return new Uint8Array(Float32Array.from(words, (word) => 0.9 + (0.2 * word) / 2 ** 32).buffer);
}

/** @param {RandomModelOptions} options */
export async function writeRandomModel({ path: target, shape: shapeOrName, dtype = "q4_0", seed = 1, signal }) {
  const shape = typeof shapeOrName === "string" ? modelShapes[shapeOrName] : shapeOrName;
  if (shape === undefined)
    throw new InvalidRequestError("shape", shapeOrName, `${shapeOrName} is no shape`, `use one of ${Object.keys(modelShapes).join(", ")}`);
  if (!randomDTypes.includes(dtype))
    throw new InvalidRequestError("dtype", dtype, `${dtype} is not generated`, `use one of ${randomDTypes.join(", ")}`);
  checkShape(shape);
  const { tokens, scores, types } = createRandomVocabulary(shape.vocabularySize);
  /** @param {number} value */
  const u32 = (value) => /** @type {const} */ ({ type: "u32", value });
  /** @type {readonly (readonly [string, import("@thermocline/loader-gguf").GgufValue])[]} */
  const metadata = [
    ["general.architecture", "llama"],
    ["general.name", `random-${typeof shapeOrName === "string" ? shapeOrName : "custom"}-${dtype}`],
    ["general.file_type", u32(fileTypes[dtype])],
    ["general.quantization_version", u32(2)],
    ["llama.context_length", u32(shape.contextLength)],
    ["llama.embedding_length", u32(shape.hiddenSize)],
    ["llama.block_count", u32(shape.numLayers)],
    ["llama.feed_forward_length", u32(shape.intermediateSize)],
    ["llama.attention.head_count", u32(shape.numHeads)],
    ["llama.attention.head_count_kv", u32(shape.numKvHeads)],
    ["llama.attention.layer_norm_rms_epsilon", { type: "f32", value: 1e-5 }],
    ["llama.rope.dimension_count", u32(shape.hiddenSize / shape.numHeads)],
    ["llama.vocab_size", u32(shape.vocabularySize)],
    ...(shape.numExperts === undefined || shape.numUsedExperts === undefined
      ? []
      : [
          /** @type {const} */ (["llama.expert_count", u32(shape.numExperts)]),
          /** @type {const} */ (["llama.expert_used_count", u32(shape.numUsedExperts)]),
        ]),
    ["tokenizer.ggml.model", "llama"],
    ["tokenizer.ggml.tokens", tokens],
    ["tokenizer.ggml.scores", scores],
    ["tokenizer.ggml.token_type", types],
    ["tokenizer.ggml.bos_token_id", u32(1)],
    ["tokenizer.ggml.eos_token_id", u32(2)],
    ["tokenizer.ggml.unknown_token_id", u32(0)],
    ["tokenizer.ggml.add_bos_token", true],
  ];
  const normNames = ["output_norm.weight"];
  for (let layer = 0; layer < shape.numLayers; layer++) normNames.push(`blk.${layer}.attn_norm.weight`, `blk.${layer}.ffn_norm.weight`);
  const tensors = [
    ...normNames.map((name, index) => ({
      name,
      dtype: /** @type {const} */ ("f32"),
      shape: [shape.hiddenSize],
      data: normWeights(shape.hiddenSize, seed * 1000 + index),
    })),
    ...matricesOf(shape).map(({ name, shape: sizes, rootMeanSquare, isPlain }) => {
      const stored = isPlain ? "f32" : dtype;
      const numElements = sizes.reduce((product, size) => product * size);
      return {
        name,
        dtype: stored,
        shape: sizes,
        data: () => randomWeightBytes({ name, dtype: stored, numElements, rootMeanSquare, seed }),
      };
    }),
  ];
  return writeGguf(target, { metadata, tensors, ...(signal === undefined ? {} : { signal }) });
}

/**
 * @param {keyof typeof modelShapes} shape
 * @param {RandomDType} [dtype]
 */
export function randomModelCachePath(shape, dtype = "q4_0") {
  return path.join(cacheFolderPath(), `random-${shape}-${dtype}.gguf`);
}

/**
 * @param {keyof typeof modelShapes} shape
 * @param {RandomDType} [dtype]
 */
export async function randomModelPath(shape, dtype = "q4_0") {
  cacheFolder();
  const target = randomModelCachePath(shape, dtype);
  if (!existsSync(target)) await writeRandomModel({ path: target, shape, dtype });
  return target;
}

await runAsCommand(import.meta.url, async () => {
  const { values } = parseArgs({
    options: {
      shape: { type: "string", default: "1.1b" },
      dtype: { type: "string", default: "q4_0" },
      seed: { type: "string", default: "1" },
      out: { type: "string" },
      "hidden-size": { type: "string" },
      layers: { type: "string" },
      heads: { type: "string" },
      "kv-heads": { type: "string" },
      "intermediate-size": { type: "string" },
      "vocabulary-size": { type: "string" },
      "context-length": { type: "string" },
    },
  });
  const named = modelShapes[/** @type {keyof typeof modelShapes} */ (values.shape)];
  if (named === undefined)
    throw new InvalidRequestError(
      "--shape",
      values.shape,
      `${values.shape} is no shape`,
      `use one of ${Object.keys(modelShapes).join(", ")}`,
    );
  const changes = Object.entries({
    hiddenSize: values["hidden-size"],
    numLayers: values.layers,
    numHeads: values.heads,
    numKvHeads: values["kv-heads"],
    intermediateSize: values["intermediate-size"],
    vocabularySize: values["vocabulary-size"],
    contextLength: values["context-length"],
  }).filter(([, value]) => value !== undefined);
  const shape = { ...named, ...Object.fromEntries(changes.map(([name, value]) => [name, Number(value)])) };
  const variant = [
    values.shape,
    ...changes.map(([, value]) => value),
    values.dtype,
    ...(values.seed === "1" ? [] : [`seed${values.seed}`]),
  ];
  const target = values.out ?? path.join(cacheFolder(), `random-${variant.join("-")}.gguf`);
  const startedAtMs = performance.now();
  const { byteLength } = await writeRandomModel({
    path: target,
    shape,
    dtype: /** @type {RandomDType} */ (values.dtype),
    seed: Number(values.seed),
  });
  const seconds = (performance.now() - startedAtMs) / 1000;
  console.log(`${target}: ${byteLength} bytes in ${seconds.toFixed(1)} s`);
});
