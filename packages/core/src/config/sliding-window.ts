/** The `attention.sliding_window*` keys: how far layers see, and which of them. */
import type { LayerConfig } from "@thermocline/spec";
import type { ArchitectureMetadata } from "./architecture-metadata.js";

/** Empty where no layer has a window: the key is 0, or as long as the model's context. */
export function readSlidingWindow(metadata: ArchitectureMetadata, fallback = 0): Pick<LayerConfig, "slidingWindow"> {
  const slidingWindow = metadata.number("attention.sliding_window", fallback);
  if (slidingWindow === 0 || slidingWindow >= metadata.positive("context_length")) return {};
  return { slidingWindow: metadata.checkPositive("attention.sliding_window", slidingWindow) };
}

/**
 * Which layers have the window: all but the last of every `period`, which the file may change, or a flag for each layer.
 * @throws InvalidTensorError for a malformed key.
 */
export function readWindowedLayers(metadata: ArchitectureMetadata, numLayers: number, period: number): readonly boolean[] {
  const key = "attention.sliding_window_pattern";
  const flags = metadata.flags(key, numLayers);
  if (flags !== undefined) return flags;
  const layersPerGlobalLayer = metadata.positive(key, period);
  return Array.from({ length: numLayers }, (_, layer) => (layer + 1) % layersPerGlobalLayer !== 0);
}
