/** Finds the addon: built here, or from the package of this platform. */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { BackendUnavailableError } from "@thermocline/spec";
import type { NativeBinding } from "./native-binding.js";

export type BackendAvailability =
  | { readonly available: true; readonly isas: readonly string[] }
  /** One line for each place that was tried. */
  | { readonly available: false; readonly reasons: readonly string[] };

const require = createRequire(import.meta.url);
const packageRoot = new URL("../", import.meta.url);

/** Environment variable that names one addon file to use instead, for sanitizer builds. */
const bindingVariable = "THERMOCLINE_CPU_BINDING";

let loaded: NativeBinding | undefined;

function candidates(): readonly string[] {
  const chosen = process.env[bindingVariable];
  if (chosen !== undefined) return [chosen];
  return [
    fileURLToPath(new URL("build/Release/thermocline-cpu.node", packageRoot)),
    `@thermocline/cpu-kernels-${process.platform}-${process.arch}`,
  ];
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0]!;
}

function tryLoad(): NativeBinding | readonly string[] {
  if (loaded !== undefined) return loaded;
  const reasons: string[] = [];
  for (const candidate of candidates()) {
    try {
      loaded = require(candidate) as NativeBinding;
      return loaded;
    } catch (error) {
      reasons.push(`${candidate}: ${firstLine(error)}`);
    }
  }
  return reasons;
}

/** The addon. @throws BackendUnavailableError with one reason for each place that was tried. */
export function loadCpuBinding(): NativeBinding {
  const result = tryLoad();
  if ("NativeDevice" in result) return result;
  throw new BackendUnavailableError(
    "cpu",
    result,
    "install the package of this platform, or build a clone of the repository with a C++20 compiler and cmake, or use the reference backend",
  );
}

/** Whether `createCpuBackend` would work here, and with which instruction sets; never throws. */
export function cpuBackendAvailability(): BackendAvailability {
  const result = tryLoad();
  return "NativeDevice" in result ? { available: true, isas: result.supportedIsas() } : { available: false, reasons: result };
}
