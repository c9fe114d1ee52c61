import type { ModelConfig, OffloadUnit } from "@thermocline/spec";

/** Bytes of weights that one decoded token reads, as the file holds them: of the embedding a row, of experts those that are expected. */
export function activeBytesPerToken(units: readonly OffloadUnit[], { vocabSize }: Pick<ModelConfig, "vocabSize">): number {
  return units.reduce((sum, { kind, alwaysBytes, conditionalBytes, activationFrequency }) => {
    if (kind === "embedding") return sum + (alwaysBytes + conditionalBytes) / vocabSize;
    return sum + alwaysBytes + conditionalBytes * activationFrequency;
  }, 0);
}
