/** What a plan is asked with: plain data beside the model and the backends' arithmetic. */
import type { BackendTraits, DemandModel, DemandSettings, DeviceId, MachineProfile, Workload } from "@thermocline/spec";

/** Bytes of one device that a model may take. */
export interface DeviceBudget {
  /** Most bytes to be taken, of every class; default: all of the device's memory. */
  readonly budgetBytes?: number;
  /** Standing limit: of the budget, bytes that stay free. Default: 0 beside a budget that is given, else `defaultReserveBytes`. */
  readonly reserveBytes?: number;
}

/** A unit, or every row of it, lies on this device. */
export interface UnitPin {
  /**
   * A regular expression that matches the whole id of a unit. In it `attn`, `ffn`, `exps` and `shexp` stand for attention, feed-forward,
   * experts and shared-experts: `blk\.[0-3]\.attn`.
   */
  readonly pattern: string;
  readonly device: DeviceId;
}

/** How units are placed. `plan` is the best of the solver and all other strategies but autosplit, which balances memory and not time. */
export const strategyNames = ["plan", "whole-layer", "ffn-first", "one-device", "autosplit"] as const;
export type StrategyName = (typeof strategyNames)[number];

export interface PlanProgress {
  /** memory: the model's demand; solve, verify: one round each; compare: rivals; remedy: what would make an infeasible request fit. */
  readonly phase: "memory" | "solve" | "verify" | "compare" | "remedy";
  /** For people: what is tried. */
  readonly detail: string;
}

export interface PlanRequest {
  readonly demandModel: DemandModel;
  readonly machine: MachineProfile;
  /** By `MachineDevice.backend`. */
  readonly traits: Readonly<Record<string, BackendTraits>>;
  /** `maxSequences` defaults to the workload's batch, the others to the engine's defaults. */
  readonly settings?: DemandSettings;
  /** What predictions and the objective are about; absent members: `defaultWorkload`, cut to the context length. */
  readonly workload?: Partial<Workload>;
  readonly budgets?: Readonly<Record<DeviceId, DeviceBudget>>;
  /** They win over `maxGpuLayers` and `cpuExperts`. */
  readonly pins?: readonly UnitPin[];
  /** Only the last so many layers, and the head behind them, may use GPUs; the embedding too where these are all layers. */
  readonly maxGpuLayers?: number;
  /** Experts lie on CPUs; shared experts and routers may lie anywhere. */
  readonly cpuExperts?: boolean;
  /** auto (default): exact where the problem is small or greedy's gap is wide, greedy else. */
  readonly solver?: "auto" | "greedy" | "exact";
  /** Of the exact solver. Default 1000 where it was not asked for by name, 10,000 where it was. */
  readonly timeLimitMs?: number;
  /** Relative, at which the exact solver may stop. Default 0.001. */
  readonly gap?: number;
  /** Default "plan". */
  readonly strategy?: StrategyName;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: PlanProgress) => void;
}

/** A short conversation's turn of one user. */
export const defaultWorkload: Workload = { promptTokens: 512, outputTokens: 256, contextDepth: 0, batch: 1 };
