/** What can be placed, where it was placed, and what that costs: plain data in, plain data out. */
import type { IndexRange } from "./backend.js";
import type { DeviceId, MemoryClass } from "./memory.js";

export type UnitKind = "embedding" | "attention" | "feed-forward" | "experts" | "router" | "head" | "predictor";

/** The smallest thing that a plan places; one with `rows` may be split over devices. The KV cache of a layer lies with its attention.
 *  The rows of "experts" are whole experts. */
export interface OffloadUnit {
  /** "embedding", "blk.3.attention", "blk.3.feed-forward", "blk.3.router", "blk.3.experts", "head". */
  readonly id: string;
  readonly kind: UnitKind;
  /** -1 where it belongs to no layer. */
  readonly layer: number;
  readonly tensors: readonly string[];
  /** Neurons or experts that may lie on different devices, and the block at whose multiples alone they may be cut. */
  readonly rows?: { readonly count: number; readonly blockSize: number };
  /** Bytes read whenever the layer runs, and bytes read only when the unit is active. */
  readonly alwaysBytes: number;
  readonly conditionalBytes: number;
  readonly activationFrequency: number;
}

export interface OffloadPlanUnit {
  readonly id: string;
  readonly device: DeviceId;
  /** Ascending, disjoint; absent: the whole unit. Every row of a unit lies on exactly one device. */
  readonly rows?: readonly IndexRange[];
  readonly byteLength?: number;
  readonly reason?: string;
  readonly predictedSeconds?: number;
}

/** How to make a device that a plan names. */
export interface PlanDevice {
  /** "cpu", "reference", "cuda". */
  readonly backend: string;
  readonly threads?: number;
  readonly budgetBytes?: number;
}

/** Versioned JSON: printed, saved, compared, edited by hand and loaded back. */
export interface OffloadPlan {
  readonly version: 1;
  /** `ModelSource.identity` of the model that it is for. */
  readonly model: string;
  readonly devices: Readonly<Record<DeviceId, PlanDevice>>;
  /** Units that no entry names lie on the first device. */
  readonly units: readonly OffloadPlanUnit[];
  readonly bytes?: Readonly<Record<DeviceId, Readonly<Partial<Record<MemoryClass, number>>>>>;
  readonly predicted?: { readonly prefillSeconds: number; readonly secondsPerToken: number };
}

/** A share of a unit on one device; `rows` absent: all of it. */
export interface PlacedPart {
  readonly device: DeviceId;
  readonly rows?: readonly IndexRange[];
}

/** Every unit's id with its parts: a plan with its defaults filled in. */
export type Placement = ReadonlyMap<string, readonly PlacedPart[]>;

export interface Workload {
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly contextDepth: number;
  readonly batch: number;
}

export interface MachineDevice {
  readonly id: DeviceId;
  readonly budgetBytes: number;
  readonly reserveBytes: number;
  /** Read bandwidth of the matrix-vector kernel, by dtype. */
  readonly bytesPerSecond: Readonly<Record<string, number>>;
  readonly operationsPerSecond: number;
  readonly launchSeconds: number;
}

export interface MachineProfile {
  readonly devices: readonly MachineDevice[];
  readonly links: readonly {
    readonly from: DeviceId;
    readonly to: DeviceId;
    readonly bytesPerSecond: number;
    readonly latencySeconds: number;
  }[];
}

export interface OffloadProblem {
  readonly model: string;
  readonly units: readonly OffloadUnit[];
  readonly machine: MachineProfile;
  readonly workload: Workload;
  /** The user's own choices: ids matched with `*`. */
  readonly pins: readonly { readonly pattern: string; readonly device: DeviceId }[];
}

export type OffloadSolution =
  | { readonly status: "optimal" | "feasible"; readonly plan: OffloadPlan; readonly objective: number; readonly bound: number }
  | { readonly status: "infeasible"; readonly missingBytes: Readonly<Record<DeviceId, number>>; readonly cure: string };

export type OffloadSolver = (
  problem: OffloadProblem,
  options?: { readonly timeLimitMs?: number; readonly gap?: number; readonly signal?: AbortSignal },
) => Promise<OffloadSolution>;
