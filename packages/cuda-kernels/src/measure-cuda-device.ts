/** How fast a CUDA device is: roofs that kernels are held against, and what launches and hand-overs cost. */
import { BackendUnavailableError, type DeviceId, type MachineMeasurement } from "@thermocline/spec";
import { type CudaFigureName, loadCudaBinding } from "./load-binding.js";
import { probeCuda } from "./probe-cuda.js";

export interface CudaCalibration {
  readonly id: DeviceId;
  readonly name: string;
  readonly totalBytes: number;
  /** What the runtime of this build keeps of the device's memory after all that was allocated is free again. */
  readonly contextBytes: number;
  /** `contextBytes` also counts what others use of the device: the management library was not there to tell. */
  readonly contextIsUpperBound: boolean;
  /** How a hand-over waits: a stream's own operation on a value in host memory, or a kernel that polls it. */
  readonly handOverMethod: "stream-memory-operations" | "polling-kernel";
  /**
   * - deviceReadBytesPerSecond, deviceCopyBytesPerSecond (bytes read and written): over 4 GiB, or half of what is free.
   * - hostToDeviceBytesPerSecond, deviceToHostBytesPerSecond: 256 MiB of pinned memory; …CopySeconds: 8 KiB, one of many in a row.
   * - launchSeconds, graphNodeSeconds: one of many dependent small kernels; launchAndWaitSeconds: one, until the host knows of its end.
   * - pollingKernelRoundTripSeconds, signalRoundTripSeconds: host, device and back; handOverRoundTripSeconds: the same with a copy of 16 KiB
   *   in each direction and a kernel between. The last two only with stream memory operations.
   * - f16OperationsPerSecond, int8OperationsPerSecond: warp-wide matrix products from registers.
   */
  readonly figures: Readonly<Partial<Record<CudaFigureName, number>>>;
  /** The same figures with their spread. */
  readonly measurements: readonly MachineMeasurement[];
}

/**
 * Measures one device for some seconds, off the JavaScript thread. Takes up to 4 GiB of its memory meanwhile, outside of every ledger, and
 * gives all of it back but the context.
 * @throws BackendUnavailableError where the device is not there, or CUDA refuses, or a checksum is wrong.
 */
export async function measureCudaDevice(deviceIndex = 0): Promise<CudaCalibration> {
  const loaded = loadCudaBinding();
  const unavailable = (reason: string) =>
    new BackendUnavailableError("cuda", [reason], "run it on a machine with an NVIDIA GPU and driver, after a build with nvcc");
  if (loaded.binding === undefined) throw unavailable(loaded.reason);
  const { devices, reason } = probeCuda();
  const device = devices[deviceIndex];
  if (device === undefined) throw unavailable(reason ?? `there is no cuda:${deviceIndex}, only ${devices.map(({ id }) => id).join(", ")}`);
  const { figures, problem, contextBytes, contextIsUpperBound, handOverMethod } = await loaded.binding.calibrate(deviceIndex);
  if (problem !== "") throw unavailable(problem);
  const { id, name, totalBytes } = device;
  return {
    id,
    name,
    totalBytes,
    contextBytes,
    contextIsUpperBound,
    handOverMethod,
    figures: Object.fromEntries(figures.map(({ quantity, median }) => [quantity, median])),
    measurements: figures.map(({ quantity, median, least, most, numSamples }) => ({
      subject: id,
      quantity,
      value: median,
      least,
      most,
      numSamples,
    })),
  };
}
