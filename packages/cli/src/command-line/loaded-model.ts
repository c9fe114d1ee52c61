import { type OpenedModel, open } from "../open.js";
import type { ModelOptions } from "./options.js";
import { createProgressBar } from "./progress-bar.js";
import { writeNotice } from "./standard-streams.js";

/** Opens a model as a command's options ask, with a bar where a person watches, runs the work and disposes of the model. */
export async function withModel<Result>(
  path: string,
  options: ModelOptions & { readonly trace?: boolean },
  signal: AbortSignal,
  work: (model: OpenedModel) => Promise<Result>,
): Promise<Result> {
  const bar = process.stderr.isTTY && !options.json ? createProgressBar(process.stderr, "loading") : undefined;
  const { backend, isa, threads, plan, context, trace } = options;
  let model: OpenedModel;
  try {
    model = await open(path, {
      backend,
      isa,
      threads,
      plan,
      contextLength: context,
      trace,
      signal,
      onProgress: bar?.update,
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
