/** Which CUDA devices this machine has. Creates no context, so it takes no device memory. */
import { BackendUnavailableError, type DeviceId } from "@thermocline/spec";
import { type CudaBinding, loadCudaBinding } from "./load-binding.js";

export interface CudaDevice {
  /** "cuda:0": CUDA's own index. */
  readonly id: DeviceId;
  readonly name: string;
  /** Physical bytes of the device's memory, whoever uses them. */
  readonly totalBytes: number;
  /** "9.0" */
  readonly computeCapability: string;
  readonly multiprocessors: number;
}

export interface CudaProbe {
  /** The addon was built and loads here. */
  readonly built: boolean;
  readonly devices: readonly CudaDevice[];
  /** Newest CUDA version that the driver supports, "13.0"; absent without a driver. */
  readonly driverVersion?: string;
  /** CUDA version that the addon was built with; absent without the addon. */
  readonly runtimeVersion?: string;
  /** Why there are no devices; absent where there are. */
  readonly reason?: string;
}

/** Never throws: a machine without CUDA is an answer. */
export function probeCuda(): CudaProbe {
  const loaded = loadCudaBinding();
  if (loaded.binding === undefined) return { built: false, devices: [], reason: loaded.reason };
  const found = loaded.binding.probe();
  const reason = found.devices.length > 0 ? undefined : describeAbsence(found);
  return {
    built: true,
    devices: found.devices.map(({ name, totalBytes, computeMajor, computeMinor, multiprocessors }, index) => ({
      id: `cuda:${index}`,
      name,
      totalBytes,
      computeCapability: `${computeMajor}.${computeMinor}`,
      multiprocessors,
    })),
    ...(found.driverVersion > 0 && { driverVersion: formatVersion(found.driverVersion) }),
    ...(found.runtimeVersion > 0 && { runtimeVersion: formatVersion(found.runtimeVersion) }),
    ...(reason !== undefined && { reason }),
  };
}

function describeAbsence({ driverVersion, runtimeVersion, reason }: ReturnType<CudaBinding["probe"]>): string {
  if (driverVersion === 0) return "no device: no NVIDIA driver is installed";
  if (Math.floor(driverVersion / 1000) < Math.floor(runtimeVersion / 1000))
    return `no device: the driver supports CUDA ${formatVersion(driverVersion)}, this build needs ${formatVersion(runtimeVersion)}`;
  return `no device: ${reason}`;
}

function formatVersion(version: number): string {
  return `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
}

export interface CudaSelfTest {
  readonly passed: boolean;
  readonly expected: number;
  readonly actual: number;
}

/**
 * Runs one small kernel with a known result, which shows that this build's code runs on the device. Blocks for the time of making a
 * CUDA context, some hundred milliseconds.
 * @throws BackendUnavailableError where the device is not there or CUDA refuses.
 */
export function selfTest(deviceIndex = 0): CudaSelfTest {
  const loaded = loadCudaBinding();
  const unavailable = (reason: string) =>
    new BackendUnavailableError("cuda", [reason], "run it on a machine with an NVIDIA GPU and driver, after a build with nvcc");
  if (loaded.binding === undefined) throw unavailable(loaded.reason);
  const { devices, reason } = probeCuda();
  if (devices[deviceIndex] === undefined)
    throw unavailable(reason ?? `there is no cuda:${deviceIndex}, only ${devices.map(({ id }) => id).join(", ")}`);
  const { expected, actual, problem } = loaded.binding.selfTest(deviceIndex);
  if (problem !== "") throw unavailable(problem);
  return { passed: actual === expected, expected, actual };
}
