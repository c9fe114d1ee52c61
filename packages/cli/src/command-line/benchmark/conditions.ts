/** What a measurement was made under, so that its figures can be judged later. */
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";

export interface MeasurementConditions {
  readonly date: string;
  readonly machine: {
    readonly processor: string;
    /** Threads that this process may run at once. */
    readonly parallelism: number;
    readonly memoryBytes: number;
    readonly platform: string;
    /** Of the last minute, at the start: what else was running. */
    readonly loadAverage: number;
  };
  readonly versions: { readonly thermocline: string; readonly node: string };
}

export function readConditions(thermoclineVersion: string): MeasurementConditions {
  return {
    date: new Date().toISOString(),
    machine: {
      processor: cpus()[0]?.model.trim() ?? "unknown",
      parallelism: availableParallelism(),
      memoryBytes: totalmem(),
      platform: `${process.platform} ${process.arch}`,
      loadAverage: loadavg()[0]!,
    },
    versions: { thermocline: thermoclineVersion, node: process.versions.node },
  };
}
