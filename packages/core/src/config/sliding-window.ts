/** The `attention.sliding_window` key, as what it gives to a layer. */
import type { LayerConfig } from "@thermocline/spec";
import type { ArchitectureMetadata } from "./architecture-metadata.js";

/** Empty where no layer has a window: the key is 0, or as long as the model's context. */
export function readSlidingWindow(metadata: ArchitectureMetadata, fallback = 0): Pick<LayerConfig, "slidingWindow"> {
  const slidingWindow = metadata.number("attention.sliding_window", fallback);
  if (slidingWindow === 0 || slidingWindow >= metadata.positive("context_length")) return {};
  return { slidingWindow: metadata.checkPositive("attention.sliding_window", slidingWindow) };
}
