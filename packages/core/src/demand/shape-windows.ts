/** How far each layer sees. */
import type { ArchitectureMetadata } from "../config/architecture-metadata.js";
import { readWindowedLayers } from "../config/sliding-window.js";
import { type WindowPattern, windowPatterns } from "./architectures/window-patterns.js";

export interface LayerWindows {
  /** Tokens that a layer sees; undefined: all. */
  readonly slidingWindows: readonly (number | undefined)[];
  /** Where the file has a window but does not say for which layers. */
  readonly assumption?: string;
}

const patternKey = "attention.sliding_window_pattern";

/** @throws InvalidTensorError for a malformed key. */
export function readWindows(metadata: ArchitectureMetadata, numLayers: number): LayerWindows {
  const { architecture, source } = metadata;
  const known = windowPatterns.get(architecture);
  const key = "attention.sliding_window";
  const slidingWindow = metadata.number(key, known?.slidingWindow ?? 0);
  const none = new Array<undefined>(numLayers).fill(undefined);
  if (slidingWindow === 0 || slidingWindow >= metadata.positive("context_length")) return { slidingWindows: none };
  metadata.checkPositive(key, slidingWindow);
  if (known === undefined && !source.metadata.has(`${architecture}.${patternKey}`)) {
    const assumption = `The file names a sliding window of ${slidingWindow} tokens but not the layers that have it: all count as seeing the whole context.`;
    return { slidingWindows: none, assumption };
  }
  const isWindowed = windowedLayers(metadata, numLayers, known);
  return { slidingWindows: isWindowed.map((windowed) => (windowed ? slidingWindow : undefined)) };
}

function windowedLayers(metadata: ArchitectureMetadata, numLayers: number, known: WindowPattern | undefined): readonly boolean[] {
  if (!known?.isGlobalFirst) return readWindowedLayers(metadata, numLayers, known?.period ?? 1);
  const flags = metadata.flags(patternKey, numLayers);
  if (flags !== undefined) return flags;
  const period = metadata.positive(patternKey, known.period);
  return Array.from({ length: numLayers }, (_, layer) => layer % period !== 0);
}
