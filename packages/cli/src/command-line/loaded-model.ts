import { formatBytes } from "../format-bytes.js";
import { type OpenedModel, type OpenOptions, open } from "../open.js";
import { type ModelOptions, openOptionsOf } from "./options.js";
import { createProgressBar } from "./progress-bar.js";
import { writeNotice } from "./standard-streams.js";

/** Opens a model as a command's options ask, with a bar where a person watches, runs the work and disposes of the model. */
export async function withModel<Result>(
  path: string,
  options: ModelOptions,
  signal: AbortSignal,
  work: (model: OpenedModel) => Promise<Result>,
  further: OpenOptions = {},
): Promise<Result> {
  const bar = process.stderr.isTTY && !options.json ? createProgressBar(process.stderr, "loading") : undefined;
  let model: OpenedModel;
  try {
    model = await open(path, {
      ...openOptionsOf(options),
      ...further,
      signal,
      onProgress: ({ loadedBytes, totalBytes }) =>
        bar?.update(totalBytes === 0 ? 1 : loadedBytes / totalBytes, `${formatBytes(loadedBytes)} of ${formatBytes(totalBytes)}`),
      onNotice: (notice) => writeNotice(options.json ? JSON.stringify({ notice }) : `note: ${notice}`),
    });
  } finally {
    bar?.clear();
  }
  try {
    return await work(model);
  } finally {
    await model[Symbol.asyncDispose]();
  }
}
