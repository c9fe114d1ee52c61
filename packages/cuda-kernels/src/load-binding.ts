/** Finds and loads the addon. */
import { createRequire } from "node:module";

/** What `binding/addon.cc` exports. */
export interface CudaBinding {
  probe(): {
    readonly devices: readonly {
      readonly name: string;
      readonly totalBytes: number;
      readonly computeMajor: number;
      readonly computeMinor: number;
      readonly multiprocessors: number;
    }[];
    /** 1000 · major + 10 · minor; 0: none. */
    readonly driverVersion: number;
    readonly runtimeVersion: number;
    /** CUDA's own words for why `devices` is empty; "" where it is not. */
    readonly reason: string;
  };
  /** `problem` is "" where every CUDA call succeeded. */
  selfTest(deviceIndex: number): { readonly expected: number; readonly actual: number; readonly problem: string };
  /** Never rejects; `problem` is "" where every CUDA call succeeded and every checksum was right. */
  calibrate(deviceIndex: number): Promise<{
    readonly figures: readonly {
      readonly quantity: CudaFigureName;
      readonly median: number;
      readonly least: number;
      readonly most: number;
      readonly numSamples: number;
    }[];
    readonly contextBytes: number;
    readonly contextIsUpperBound: boolean;
    readonly handOverMethod: "stream-memory-operations" | "polling-kernel";
    readonly problem: string;
  }>;
}

/** As the addon names them. */
export type CudaFigureName =
  | "deviceReadBytesPerSecond"
  | "deviceCopyBytesPerSecond"
  | "hostToDeviceBytesPerSecond"
  | "hostToDeviceCopySeconds"
  | "deviceToHostBytesPerSecond"
  | "deviceToHostCopySeconds"
  | "launchSeconds"
  | "graphNodeSeconds"
  | "launchAndWaitSeconds"
  | "pollingKernelRoundTripSeconds"
  | "signalRoundTripSeconds"
  | "handOverRoundTripSeconds"
  | "f16OperationsPerSecond"
  | "int8OperationsPerSecond";

export type LoadedCudaBinding = { readonly binding: CudaBinding } | { readonly binding?: undefined; readonly reason: string };

// Both `src` and `dist` lie one folder below the package's root.
const builtAddon = "../build/Release/thermocline-cuda.node";

/** Loads the addon that was built beside this package. Never throws: most machines have none. */
export function loadCudaBinding(): LoadedCudaBinding {
  try {
    return { binding: createRequire(import.meta.url)(builtAddon) as CudaBinding };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "MODULE_NOT_FOUND") return { reason: "this package was built or installed without its CUDA addon" };
    return { reason: `the CUDA addon does not load: ${message.split("\n")[0]}` };
  }
}
