/** Where everything lies, and why: versioned JSON. */
import type { IndexRange } from "./backend.js";
import type { DeviceId } from "./memory.js";
import type { BytesByClass, DemandSettings, ModelSummary } from "./memory-demand.js";
import type { PredictedTimes, Workload } from "./offload-problem.js";

export interface OffloadPlanUnit {
  readonly id: string;
  readonly device: DeviceId;
  /** Ascending, disjoint; absent: the whole unit. Every row of a unit lies on exactly one device. */
  readonly rows?: readonly IndexRange[];
  /** Of weights, KV cache and state on the device. */
  readonly byteLength?: number;
  /** Of these, the KV cache and state. */
  readonly kvCacheByteLength?: number;
  readonly reason?: string;
  /** Of one step of the workload's answer. */
  readonly predictedSeconds?: number;
  /** Mean activation frequency of these rows. */
  readonly activationFrequency?: number;
}

/** How to make a device that a plan names. */
export interface PlanDevice {
  /** "cpu", "reference", "cuda". */
  readonly backend: string;
  readonly threads?: number;
  /** Most bytes that may be reserved on this device. */
  readonly budgetBytes?: number;
  /** Standing limit: of the budget, bytes that stay free. */
  readonly reserveBytes?: number;
  /** For people. */
  readonly name?: string;
}

/** A strategy's predicted speed for a workload of the plan's batch at one depth. */
export interface StrategyPrediction {
  /** "plan", "whole-layer", "ffn-first", "autosplit". */
  readonly strategy: string;
  readonly contextDepth: number;
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
}

export interface PlanSolver {
  /** "greedy", "exact", or the strategy that was better than both. */
  readonly name: string;
  /** Of @thermocline/solver. */
  readonly version: string;
  readonly status: "optimal" | "feasible";
  readonly boundSeconds: number;
  readonly gap: number;
  /** What kept the solver from doing all that was asked; absent: nothing did. */
  readonly note?: string;
}

/** Printed, saved, compared, edited by hand and loaded back. Only version, model, devices and units are needed to carry it out. */
export interface OffloadPlan {
  readonly version: 1;
  /** `ModelSource.identity` of the model that it is for. */
  readonly model: string;
  readonly devices: Readonly<Record<DeviceId, PlanDevice>>;
  /** Units that no entry names lie on the first device. */
  readonly units: readonly OffloadPlanUnit[];
  readonly summary?: Omit<ModelSummary, "identity">;
  /** What memory was sized by; opening the plan takes these unless it is told others. */
  readonly settings?: DemandSettings;
  readonly workload?: Workload;
  /** Name and source of the machine profile. */
  readonly machine?: { readonly name: string; readonly source: string };
  readonly solver?: PlanSolver;
  /** Bytes to be reserved, by device and memory class. A plan that states them has an entry for every unit of the model. */
  readonly bytes?: Readonly<Record<DeviceId, BytesByClass>>;
  /** Why bytes are upper bounds, a sentence each; absent or empty: they are exact. */
  readonly estimates?: readonly string[];
  readonly predicted?: Omit<PredictedTimes, "workloadSeconds"> & Partial<PredictedTimes>;
  /** The plan and its rivals side by side, at several depths. */
  readonly comparison?: readonly StrategyPrediction[];
}

/** One change of what was asked that makes it fit: exactly one member is there. */
export interface PlanRemedy {
  /** One setting; the types of keys and of values count as one. */
  readonly settings?: DemandSettings;
  /** A budget that is enough, of one device. */
  readonly budgetBytes?: Readonly<Record<DeviceId, number>>;
  /** Physical memory that is enough, of one device whose budget is all that it has. */
  readonly memoryBytes?: Readonly<Record<DeviceId, number>>;
}
