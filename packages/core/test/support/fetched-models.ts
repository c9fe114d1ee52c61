/** Real models that `bench/fetch-models.mjs` leaves in the bench's cache folder. Tests use what is there and fetch nothing. */
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const fileNames = {
  tinyllama: "tinyllama-1.1b-chat-v1.0-iq2_xxs.gguf",
  minimind2: "minimind2-small-q8_0.gguf",
  minilm: "all-minilm-l6-v2-f16.gguf",
} as const;

export type FetchedModel = keyof typeof fileNames;

/** Undefined, with a line that says so, where the model has not been fetched. */
export function fetchedModelPath(name: FetchedModel): string | undefined {
  const file = path.resolve(process.env.THERMOCLINE_CACHE || path.join(tmpdir(), "thermocline-bench"), fileNames[name]);
  if (existsSync(file)) return file;
  console.warn(`tests of ${name} skipped: it has not been fetched (node bench/fetch-models.mjs ${name})`);
  return undefined;
}
