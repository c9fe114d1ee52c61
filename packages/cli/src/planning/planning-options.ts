/** What `thermocline plan` is asked, as its options say it. */
import type { StrategyName } from "@thermocline/solver";
import type { DemandSettings, Workload } from "@thermocline/spec";

/** A model's share of each GPU when several models share a machine: bytes, or a part of the device's memory. */
export type Claim = { readonly bytes: number } | { readonly fraction: number };

export interface DevicePin {
  /** A regular expression over whole unit ids. */
  readonly pattern: string;
  readonly device: string;
}

export interface PlanningOptions {
  readonly machine?: string;
  readonly vram?: readonly number[];
  readonly ram?: number;
  readonly budget?: Readonly<Record<string, number>>;
  readonly reserve?: Readonly<Record<string, number>>;

  readonly context?: number | "max";
  readonly sequences?: number;
  readonly batchTokens?: number;
  readonly kvType?: NonNullable<DemandSettings["keyCacheDType"]> | "max";
  readonly kvTypeK?: DemandSettings["keyCacheDType"];
  readonly kvTypeV?: DemandSettings["valueCacheDType"];
  readonly kvBudget?: string;

  readonly promptTokens?: number;
  readonly outputTokens?: number;
  readonly depth?: number;
  readonly batch?: number;

  readonly pin?: readonly DevicePin[];
  readonly maxGpuLayers?: number;
  readonly cpuExperts?: boolean;
  readonly solver: "auto" | "greedy" | "exact";
  readonly strategy: StrategyName;

  readonly minTokensPerSecond?: number;
  readonly maxTtft?: number;
  readonly curve?: boolean;
  readonly curveSizes?: readonly number[];
  readonly choose?: boolean;
  readonly together?: boolean;
  readonly claim?: Readonly<Record<string, Claim>>;
  readonly why?: boolean;
  readonly units?: boolean;
  readonly intermediates?: boolean;
  readonly compare?: boolean;
  readonly measure?: boolean;

  readonly explain?: boolean;
  readonly svg?: string;
  readonly out?: string;
  readonly json?: boolean;
}

/** Settings that the options name; "max" and KV budgets are found later. */
export function demandSettingsOf({ context, sequences, batchTokens, kvType, kvTypeK, kvTypeV }: PlanningOptions): DemandSettings {
  const both = kvType === "max" ? undefined : kvType;
  const [keyCacheDType, valueCacheDType] = [kvTypeK ?? both, kvTypeV ?? both];
  return {
    ...(typeof context === "number" && { contextLength: context }),
    ...(sequences !== undefined && { maxSequences: sequences }),
    ...(batchTokens !== undefined && { maxBatchTokens: batchTokens }),
    ...(keyCacheDType !== undefined && { keyCacheDType }),
    ...(valueCacheDType !== undefined && { valueCacheDType }),
  };
}

/** Of the workload, what the options name. */
export function workloadOf({ promptTokens, outputTokens, depth, batch }: PlanningOptions): Partial<Workload> {
  return {
    ...(promptTokens !== undefined && { promptTokens }),
    ...(outputTokens !== undefined && { outputTokens }),
    ...(depth !== undefined && { contextDepth: depth }),
    ...(batch !== undefined && { batch }),
  };
}
