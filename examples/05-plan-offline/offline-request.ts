import { createDemandModel } from "@thermocline/core/demand";
import { createCpuTraits } from "@thermocline/cpu-kernels/traits";
import { cudaTraits } from "@thermocline/cuda-kernels/traits";
import { hypotheticalMachine, type PlanRequest } from "@thermocline/solver";
import type { DType, ModelSource } from "@thermocline/spec";

export interface Wishes {
  /** Of one GPU; 0: there is none. */
  readonly vramBytes: number;
  readonly ramBytes: number;
  readonly contextLength?: number;
  /** Of keys and values; absent: each device's own default. */
  readonly kvDType?: DType;
}

/** What a plan is asked with for a machine of which only the sizes are known. Of the model nothing but the header is read. */
export function offlineRequest(source: ModelSource, { vramBytes, ramBytes, contextLength, kvDType }: Wishes): PlanRequest {
  const machine = hypotheticalMachine({ vramBytes, ramBytes });
  const { threads = 1 } = machine.devices.find(({ kind }) => kind === "cpu")!;
  return {
    demandModel: createDemandModel(source),
    machine,
    traits: { cpu: createCpuTraits({ threads }), cuda: cudaTraits },
    settings: {
      ...(contextLength !== undefined && { contextLength }),
      ...(kvDType !== undefined && { keyCacheDType: kvDType, valueCacheDType: kvDType }),
    },
    // The exact solver is WebAssembly, which a page that was opened as a file may not load.
    solver: "greedy",
  };
}
