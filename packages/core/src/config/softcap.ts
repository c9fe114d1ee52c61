/** The caps of scores and logits, which a file may name, leave to the architecture or switch off with 0. */
import type { ArchitectureMetadata } from "./architecture-metadata.js";

/** Undefined for no cap. */
export function readSoftcap(metadata: ArchitectureMetadata, key: string, fallback: number): number | undefined {
  const cap = metadata.number(key, fallback);
  if (cap < 0) throw metadata.unsupported(key, `a cap of ${cap} cannot be`);
  return cap === 0 ? undefined : cap;
}
