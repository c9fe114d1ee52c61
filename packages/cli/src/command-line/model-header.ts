import { readModelConfig } from "@thermocline/core";
import { openGguf } from "@thermocline/loader-gguf";
import type { ModelConfig, ModelSource } from "@thermocline/spec";

/** What commands check before they load weights, which may take minutes. */
export interface ModelHeader {
  /** Closed: its tables and metadata can be used, its bytes cannot be read any more. */
  readonly source: ModelSource;
  readonly config: ModelConfig;
}

/** @throws FileAccessError, GgufFormatError, UnsupportedModelError. */
export async function readModelHeader(path: string, signal: AbortSignal): Promise<ModelHeader> {
  const source = await openGguf(path, { signal });
  await source[Symbol.asyncDispose]();
  return { source, config: readModelConfig(source) };
}
