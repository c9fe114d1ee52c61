/** Metadata of a file → `ModelConfig`. Refuses what no graph computes, before anything is loaded. */
import { type ModelConfig, type ModelSource, UnsupportedModelError } from "@thermocline/spec";
import { architectures } from "../models/registry.js";
import { ArchitectureMetadata } from "./architecture-metadata.js";

/** @throws UnsupportedModelError where no graph knows the architecture or something that the file asks for. */
export function readModelConfig(source: ModelSource): ModelConfig {
  const architecture = source.metadata.get("general.architecture");
  const known = typeof architecture === "string" ? architectures.get(architecture) : undefined;
  if (known === undefined) {
    throw new UnsupportedModelError(String(architecture ?? "(none)"), "general.architecture", "no graph computes it", [
      ...architectures.keys(),
    ]);
  }
  const metadata = new ArchitectureMetadata(source, architecture as string);
  const config = known.readConfig(metadata);
  metadata.refuseUnread();
  return config;
}
