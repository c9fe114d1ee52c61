import { type Backend, BackendUnavailableError } from "@thermocline/spec";
import { probeCuda } from "./probe-cuda.js";

/**
 * The place where the other packages ask for a CUDA backend. This package has no compute kernels, so the answer is always the error;
 * its `reasons` also say what the machine itself lacks.
 * @throws BackendUnavailableError
 */
export function createCudaBackend(): Backend {
  const { reason, devices } = probeCuda();
  const found = reason ?? `found ${devices.map(({ id, name }) => `${id} (${name})`).join(", ")}`;
  throw new BackendUnavailableError(
    "cuda",
    ["this package has no compute kernels", found],
    "place the model on the CPU or reference backend",
  );
}
