/** Measures this machine: its CPU through the backend that runs models here, its GPUs by their roofs. */
import { availableParallelism } from "node:os";
import { calibrateBackends, type Samples } from "@thermocline/core";
import type { ReadBandwidthOptions } from "@thermocline/cpu-kernels";
import type { CudaCalibration } from "@thermocline/cuda-kernels";
import { gpuRates } from "@thermocline/solver";
import type { Backend, MachineDevice, MachineLink, MachineProfile } from "@thermocline/spec";
import { type MachineInventory, usableMemoryBytes } from "./machine-inventory.js";
import { machineNameOf } from "./profile-cache.js";

export interface CalibrateMachineOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (fraction: number, what: string) => void;
  /** Default: what keeps all of it, with a CPU alone, under half a minute. */
  readonly timeBudgetMs?: number;
}

/** Of the time, what the CPU takes where there are GPUs too. */
const cpuShare = 0.85;
const probeByteLength = 256 * 2 ** 20;

/** @throws what `calibrateBackends` and `measureCudaDevice` throw. */
export async function calibrateMachine(inventory: MachineInventory, options: CalibrateMachineOptions = {}): Promise<MachineProfile> {
  const { signal, onProgress, timeBudgetMs } = options;
  const { cuda, cpuAddon } = inventory;
  const share = cuda.devices.length > 0 ? cpuShare : 1;
  await using cpu = await createHostBackend(cpuAddon.available);
  const { id } = cpu.device;
  const threads = cpuAddon.available ? availableParallelism() : 1;
  const measured = await calibrateBackends([cpu], {
    name: machineNameOf(inventory),
    threads: { [id]: threads },
    ...(cpuAddon.available && { memoryBandwidth: ({ device }, ledger) => probeMemory({ threads, device: device.id, ledger }) }),
    ...(timeBudgetMs !== undefined && { timeBudgetMs }),
    ...(signal !== undefined && { signal }),
    onProgress: (fraction, what) => onProgress?.(fraction * share, what),
  });
  const host = { ...measured.devices[0]!, memoryBytes: usableMemoryBytes(inventory) };
  const devices: MachineDevice[] = [host];
  const links: MachineLink[] = [];
  const measurements = [...measured.measurements!];
  const assumptions = ["Weight types that were not measured take as long an element as their nearest kin that was."];
  for (const [index, { id: gpu }] of cuda.devices.entries()) {
    signal?.throwIfAborted();
    onProgress?.(cpuShare + ((1 - cpuShare) * index) / cuda.devices.length, gpu);
    const { measureCudaDevice } = await import("@thermocline/cuda-kernels");
    const calibration = await measureCudaDevice(index);
    const { device, toHost, fromHost } = gpuOf(calibration);
    devices.splice(-1, 0, device);
    links.push({ ...toHost, from: gpu, to: host.id }, { ...fromHost, from: host.id, to: gpu });
    measurements.push(...calibration.measurements);
    assumptions.push(`Kernels on ${gpu} are reckoned to reach the shares of its measured roofs that engines were measured to reach.`);
  }
  for (const a of devices.slice(0, -1))
    for (const b of devices.slice(0, -1)) if (a !== b) links.push(throughHost(a.id, b.id, host.id, links));
  onProgress?.(1, "done");
  return { ...measured, devices, links, measurements, assumptions };
}

async function createHostBackend(hasAddon: boolean): Promise<Backend> {
  if (hasAddon) return (await import("@thermocline/cpu-kernels")).createCpuBackend();
  return (await import("@thermocline/cpu-kernels/reference")).createReferenceBackend();
}

/** Undefined where there is no memory left to read. */
async function probeMemory(on: Pick<ReadBandwidthOptions, "threads" | "device" | "ledger">): Promise<Samples | undefined> {
  const { measureReadBandwidth } = await import("@thermocline/cpu-kernels");
  try {
    const rates: number[] = [];
    for (let probe = 0; probe < 5; probe++)
      rates.push((await measureReadBandwidth({ ...on, byteLength: probeByteLength, durationMs: 100 })).bytesPerSecond);
    rates.sort((a, b) => a - b);
    return { median: rates[2]!, least: rates[0]!, most: rates[4]!, numSamples: rates.length };
  } catch {
    return undefined;
  }
}

type LinkRates = Pick<MachineLink, "bytesPerSecond" | "latencySeconds">;

function gpuOf({ id, name, totalBytes, contextBytes, figures }: CudaCalibration): {
  readonly device: MachineDevice;
  readonly toHost: LinkRates;
  readonly fromHost: LinkRates;
} {
  const memoryBytesPerSecond = figures.deviceReadBytesPerSecond!;
  const roofs = {
    memoryBytesPerSecond,
    int8OperationsPerSecond: figures.int8OperationsPerSecond!,
    f16OperationsPerSecond: figures.f16OperationsPerSecond!,
  };
  const shown = { id, kind: "gpu", backend: "cuda", name, memoryBytes: totalBytes, memoryBytesPerSecond, contextBytes } as const;
  // There and back again: a hand-over is one of the two ways.
  const roundTripSeconds = figures.handOverRoundTripSeconds ?? figures.pollingKernelRoundTripSeconds!;
  const linkOf = (bytesPerSecond: number): LinkRates => ({ bytesPerSecond, latencySeconds: roundTripSeconds / 2 });
  return {
    device: { ...shown, rates: gpuRates(roofs, figures.graphNodeSeconds) },
    toHost: linkOf(figures.deviceToHostBytesPerSecond!),
    fromHost: linkOf(figures.hostToDeviceBytesPerSecond!),
  };
}

/** Two GPUs meet in host memory. */
function throughHost(from: string, to: string, host: string, links: readonly MachineLink[]): MachineLink {
  const up = links.find((link) => link.from === from && link.to === host)!;
  const down = links.find((link) => link.from === host && link.to === to)!;
  const bytesPerSecond = 1 / (1 / up.bytesPerSecond + 1 / down.bytesPerSecond);
  return { from, to, bytesPerSecond, latencySeconds: up.latencySeconds + down.latencySeconds };
}
