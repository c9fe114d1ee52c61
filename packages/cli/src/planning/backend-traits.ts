/** What planning needs to know of backends, whether or not they run here. */
import { referenceTraits } from "@thermocline/cpu-kernels/reference";
import { createCpuTraits } from "@thermocline/cpu-kernels/traits";
import { type BackendTraits, BackendUnavailableError, type MachineProfile } from "@thermocline/spec";

/**
 * Traits of the backends that a machine's devices name.
 * @throws BackendUnavailableError where the machine has a GPU and the package that knows its layout is not installed.
 */
export async function traitsOf({ devices }: MachineProfile): Promise<Readonly<Record<string, BackendTraits>>> {
  // Kernels need room by the thread.
  const threads = Math.max(1, ...devices.filter(({ backend }) => backend === "cpu").map((device) => device.threads ?? 1));
  const host = { cpu: createCpuTraits({ threads }), reference: referenceTraits };
  if (!devices.some(({ backend }) => backend === "cuda")) return host;
  const cuda = await import("@thermocline/cuda-kernels/traits").catch((cause: unknown) => {
    throw new BackendUnavailableError("cuda", [String(cause)], "install @thermocline/cuda-kernels, or plan without a GPU");
  });
  return { ...host, cuda: cuda.cudaTraits };
}
