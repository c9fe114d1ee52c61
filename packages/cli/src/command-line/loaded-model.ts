import { formatBytes } from "../format-bytes.js";
import { type OpenedModel, type OpenOptions, open } from "../open.js";
import { jsonLine } from "../terminal-text.js";
import { type ModelOptions, openOptionsOf } from "./options.js";
import { createProgressBar } from "./progress-bar.js";
import { writeNotice } from "./standard-streams.js";

/** Opens a model as a command's options and `further` ask, runs the work and disposes of the model. */
export function withModel<Result>(
  path: string,
  options: ModelOptions,
  signal: AbortSignal,
  work: (model: OpenedModel) => Promise<Result>,
  further: OpenOptions = {},
): Promise<Result> {
  return withLoaded((watching) => open(path, { ...openOptionsOf(options), ...further, signal, ...watching }), options.json === true, work);
}

/** Loads with a bar where a person watches, says what was chosen, runs the work and disposes of what was loaded. */
export async function withLoaded<Loaded extends AsyncDisposable, Result>(
  load: (watching: Pick<OpenOptions, "onProgress" | "onNotice">) => Promise<Loaded>,
  asJson: boolean,
  work: (loaded: Loaded) => Promise<Result>,
): Promise<Result> {
  const bar = process.stderr.isTTY && !asJson ? createProgressBar(process.stderr, "loading") : undefined;
  let loaded: Loaded;
  try {
    loaded = await load({
      onProgress: ({ loadedBytes, totalBytes }) =>
        bar?.update(totalBytes === 0 ? 1 : loadedBytes / totalBytes, `${formatBytes(loadedBytes)} of ${formatBytes(totalBytes)}`),
      onNotice: (notice) => writeNotice(asJson ? jsonLine({ notice }) : `note: ${notice}`),
    });
  } finally {
    bar?.clear();
  }
  try {
    return await work(loaded);
  } finally {
    await loaded[Symbol.asyncDispose]();
  }
}
