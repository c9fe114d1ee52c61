/**
 * Every pre-tokenizer against llama.cpp's of the same name: `node compare-pre-tokenizers.mjs [NAME …]` encodes the same texts with one
 * vocabulary and prints how many differ. It needs what `node tokenizer-packages.mjs` fetches.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { createTokenizer, supportedPreTokenizers } from "@thermocline/core/tokenizer";
import { writeGguf } from "@thermocline/loader-gguf";
import { installPeer } from "./peer.mjs";
import { vocabularyOf } from "./tokenizer-json.mjs";
import { readTokenizerJson } from "./tokenizer-packages.mjs";
import { tokenizerTexts } from "./tokenizer-texts.mjs";

/** A file that holds a vocabulary and the least that llama.cpp asks of a model. @param {string} file @param {any} vocabulary */
async function writeVocabulary(file, vocabulary) {
  const u32 = (/** @type {number} */ value) => /** @type {const} */ ({ type: "u32", value });
  await writeGguf(file, {
    metadata: [
      ["general.architecture", "llama"],
      ["llama.context_length", u32(128)],
      ["llama.embedding_length", u32(32)],
      ["llama.block_count", u32(1)],
      ["llama.feed_forward_length", u32(64)],
      ["llama.attention.head_count", u32(1)],
      ["llama.attention.layer_norm_rms_epsilon", { type: "f32", value: 1e-5 }],
      ["tokenizer.ggml.model", "gpt2"],
      ["tokenizer.ggml.pre", vocabulary.pre],
      ["tokenizer.ggml.tokens", vocabulary.tokens],
      ["tokenizer.ggml.token_type", Int32Array.from(vocabulary.types)],
      ["tokenizer.ggml.merges", vocabulary.merges],
      ["tokenizer.ggml.bos_token_id", u32(vocabulary.tokens.indexOf("<|begin_of_text|>"))],
      ["tokenizer.ggml.eos_token_id", u32(vocabulary.tokens.indexOf("<|end_of_text|>"))],
      ["tokenizer.ggml.seperator_token_id", u32(vocabulary.tokens.indexOf("<|end_of_text|>"))],
    ],
    tensors: [],
  });
}

const peer = await installPeer();
if (peer === undefined) process.exit(1);
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(peer).href);
const llama = await getLlama({
  gpu: false,
  build: "never",
  skipDownload: true,
  logLevel: LlamaLogLevel.disabled,
  progressLogs: false,
  maxThreads: 1,
});
const json = await readTokenizerJson("llama3_2");
const texts = tokenizerTexts().filter((text) => text !== "");
const folder = await mkdtemp(path.join(tmpdir(), "thermocline-vocabulary-"));
const names = process.argv.length > 2 ? process.argv.slice(2) : supportedPreTokenizers;
try {
  for (const pre of names) {
    const vocabulary = vocabularyOf(json, { model: "bpe", pre });
    const file = path.join(folder, "vocabulary.gguf");
    await writeVocabulary(file, vocabulary);
    const model = await llama.loadModel({ modelPath: file, gpuLayers: 0, vocabOnly: true });
    const tokenizer = createTokenizer(vocabulary);
    const differing = texts.filter((text) => tokenizer.encode(text).join() !== [...model.tokenize(text, false)].join());
    await model.dispose();
    console.log(`${pre.padEnd(20)} ${differing.length} of ${texts.length} differ`);
    for (const text of differing.slice(0, 3)) console.log(`  ${JSON.stringify(text)}`);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
process.exit(0);
