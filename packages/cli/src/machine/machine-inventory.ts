/** What this machine has, as far as it can be told without measuring. */
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, freemem, loadavg, totalmem } from "node:os";
import type { CudaProbe } from "@thermocline/cuda-kernels";

export interface MachineInventory {
  readonly platform: string;
  readonly processor: {
    readonly name: string;
    /** As the system lists them. */
    readonly numCores: number;
    /** Threads that this process may run at once: the cores of its container or affinity mask. */
    readonly parallelism: number;
    readonly megahertz: number;
    readonly loadAverage: number;
  };
  readonly memory: {
    readonly totalBytes: number;
    /** Of the container; absent where nothing constrains the process. */
    readonly limitBytes?: number;
    /** What programs can still get, cached file pages given back. */
    readonly availableBytes: number;
    /** Pages of files that lie in memory; absent where the system does not tell, as the swap figures are. */
    readonly pageCacheBytes?: number;
    readonly swapTotalBytes?: number;
    readonly swapUsedBytes?: number;
  };
  readonly cpuAddon:
    | { readonly available: true; readonly isas: readonly string[] }
    | { readonly available: false; readonly reasons: readonly string[] };
  readonly cuda: CudaProbe;
}

/** Never throws: what cannot be told is absent, or says why. */
export async function readMachineInventory(): Promise<MachineInventory> {
  const { cpuBackendAvailability } = await import("@thermocline/cpu-kernels");
  const [first] = cpus();
  const limit = process.constrainedMemory?.() ?? 0;
  const isLimited = limit > 0 && limit < totalmem();
  return {
    platform: `${process.platform} ${process.arch}`,
    processor: {
      name: first?.model.trim() || "unknown processor",
      numCores: cpus().length,
      parallelism: availableParallelism(),
      megahertz: first?.speed ?? 0,
      loadAverage: loadavg()[0]!,
    },
    memory: { totalBytes: totalmem(), ...(isLimited && { limitBytes: limit }), ...readMemoryState() },
    cpuAddon: cpuBackendAvailability(),
    cuda: await probe(),
  };
}

async function probe(): Promise<CudaProbe> {
  try {
    return (await import("@thermocline/cuda-kernels")).probeCuda();
  } catch {
    return { built: false, devices: [], reason: "the package @thermocline/cuda-kernels is not installed" };
  }
}

function readMemoryState(): Pick<MachineInventory["memory"], "availableBytes" | "pageCacheBytes" | "swapTotalBytes" | "swapUsedBytes"> {
  const fallback = { availableBytes: process.availableMemory?.() ?? freemem() };
  if (process.platform !== "linux") return fallback;
  try {
    return { ...fallback, ...parseMemoryState(readFileSync("/proc/meminfo", "utf8")) };
  } catch {
    return fallback;
  }
}

/** Of Linux' /proc/meminfo, whose lines are "MemAvailable:   1234 kB". */
export function parseMemoryState(text: string): Partial<MachineInventory["memory"]> {
  const bytes = new Map([...text.matchAll(/^(\w+):\s+(\d+) kB$/gm)].map(([, name, kibibytes]) => [name!, Number(kibibytes) * 1024]));
  const [cached, swapTotal, swapFree] = [bytes.get("Cached"), bytes.get("SwapTotal"), bytes.get("SwapFree")];
  return {
    ...(cached !== undefined && { pageCacheBytes: cached }),
    ...(swapTotal !== undefined && swapFree !== undefined && { swapTotalBytes: swapTotal, swapUsedBytes: swapTotal - swapFree }),
  };
}

/** What models may count on. */
export function usableMemoryBytes({ memory: { totalBytes, limitBytes = totalBytes } }: Pick<MachineInventory, "memory">): number {
  return Math.min(totalBytes, limitBytes);
}
