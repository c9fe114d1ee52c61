/**
 * Golden figures of llama.cpp for graphs of random weights: the models of `packages/core/test/support/random-model.ts`, built here to the
 * byte as the tests build them.
 *
 *   node bench/record-goldens.mjs [gemma2|gemma3|phi3|phi3-longrope …]
 *
 * Writes `packages/core/test/goldens/<name>.json`: the options and the SHA-256 of the model; prompts as token ids, the tokens that
 * follow, and for each of these the most likely ones before it with the peer's log-probabilities. CPU, f16 KV cache, flash attention off.
 */
import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { InvalidRequestError } from "@thermocline/spec";
import { cacheFolder } from "./cache-folder.mjs";
import { runAsCommand } from "./command-line.mjs";
import { RegistryUnreachableError } from "./npm-package.mjs";
import { openPeerSession } from "./peer-session.mjs";
import { loadTypeScript } from "./test/load-typescript.mjs";

const core = path.resolve(import.meta.dirname, "../packages/core/test");
const goldens = path.join(core, "goldens");

/** Plain weights, so that neither side quantises activations; a vocabulary with all bytes, which the peer asks for. */
const common = { seed: 3, dtype: "f32" };
const vocabSize = 320;
/** What each model's shape needs beside that: the peer's phi3 wants heads that fill the hidden size. */
const shapes = /** @type {Readonly<Record<string, object>>} */ ({
  gemma2: {},
  gemma3: {},
  phi3: { headDim: 16, ropeDims: 12 },
  "phi3-longrope": {},
});
/** From a few tokens to several sliding windows of 32. */
const promptLengths = [2, 11, 45, 150];
const numSteps = 12;
const numLogprobs = 20;
const contextLength = 256;

/**
 * @param {string} modelPath
 * @param {readonly { readonly promptTokenIds: readonly number[], readonly forcedTokenIds: readonly number[] }[]} texts
 */
async function record(modelPath, texts) {
  const peer = await openPeerSession(modelPath, { contextLength, threads: 1 });
  if (peer === undefined) throw new RegistryUnreachableError("node-llama-cpp", "there is nothing to record from");
  const cases = [];
  for (const { promptTokenIds, forcedTokenIds } of texts) {
    await peer.clear();
    const steps = [];
    for (const fed of [promptTokenIds, ...forcedTokenIds.slice(0, -1).map((tokenId) => [tokenId])]) {
      const ranked = await peer.topLogprobs(fed, numLogprobs);
      steps.push(ranked.map(([id, logprob]) => [id, Number(logprob.toFixed(5))]));
    }
    cases.push({ promptTokenIds, forcedTokenIds, steps });
  }
  await peer[Symbol.asyncDispose]();
  return { engine: peer.engine, cases };
}

await runAsCommand(import.meta.url, async () => {
  const { positionals } = parseArgs({ allowPositionals: true });
  const { buildRandomModel, randomModelNames, randomPrompt } = await loadTypeScript(path.join(core, "support/random-model.ts"));
  await mkdir(goldens, { recursive: true });
  for (const name of positionals.length === 0 ? Object.keys(shapes) : positionals) {
    if (!randomModelNames.includes(name))
      throw new InvalidRequestError("model", name, `${name} is no random model`, `use one of ${randomModelNames.join(", ")}`);
    const options = { ...common, shape: { vocabSize, ...shapes[name] } };
    const bytes = buildRandomModel(name, options);
    const modelPath = path.join(cacheFolder(), `golden-${name}.gguf`);
    await writeFile(modelPath, bytes);
    const texts = promptLengths.map((length, index) => ({
      promptTokenIds: randomPrompt(length, index + 1, vocabSize),
      // Not the peer's own choice: models of random weights repeat themselves.
      forcedTokenIds: randomPrompt(numSteps, 100 + index, vocabSize),
    }));
    const { engine, cases } = await record(modelPath, texts);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const lines = cases.map((entry) => `    ${JSON.stringify(entry)}`).join(",\n");
    const head = { model: name, options, sha256, engine, kv: "f16" };
    const text = `${JSON.stringify(head, undefined, 2).slice(0, -2)},\n  "cases": [\n${lines}\n  ]\n}\n`;
    const file = path.join(goldens, `${name}.json`);
    await writeFile(file, text);
    console.log(file);
  }
});
