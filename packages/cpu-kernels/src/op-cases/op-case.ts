/** What an op case says. Cases know no backend; `run-op-case.ts` carries them out on one. */
import type { Dim, DType, Encoder, OpName, StepBindings, Tensor, TensorSlice, WorkspaceQuery } from "@thermocline/spec";

/** Plain memory: f32, i32, f16 bits, or bytes (i8). */
export type PlainArray = Float32Array | Int32Array | Uint16Array | Uint8Array;
export type PlainArrays = Readonly<Record<string, PlainArray>>;

/** A tensor over one of the plan's arrays. */
export interface ViewPlan {
  readonly array: string;
  readonly shape: readonly Dim[];
  /** Default: that of the array's kind. Types with blocks lie in an array of bytes. */
  readonly dtype?: DType;
  /** Elements. */
  readonly rowStride?: number;
  /** Elements before the first one; 64 or a multiple of it, so that no alignment is broken. */
  readonly offset?: number;
}

/** A weight in a file's form; it goes through `Backend.load` into whatever layout the backend has. */
export interface WeightPlan {
  readonly dtype: DType;
  /** Of the file's tensor, before slicing. */
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
  readonly slices?: readonly TensorSlice[];
}

/** One submission of the recorded list. */
export interface OpStep {
  readonly bindings?: Partial<StepBindings>;
  /** First elements of arrays; the rest is as the plan says. */
  readonly write?: PlainArrays;
  /** Gets the outputs' arrays. @throws CaseFailure where they are wrong. */
  readonly check?: (outputs: Readonly<Record<string, PlainArray>>) => void;
  /** The submission must fail with a DeviceFaultError of this op whose detail holds this text: the offending value, or nothing. */
  readonly faultDetail?: string;
}

export interface OpPlan {
  /** Contents before every step. What the op does not list as output must keep them. */
  readonly arrays: PlainArrays;
  readonly outputs: readonly string[];
  readonly views: Readonly<Record<string, ViewPlan>>;
  readonly weights?: Readonly<Record<string, WeightPlan>>;
  /** Largest input of ops that take a workspace; it comes as tensor "workspace" where the traits ask for one. */
  readonly workspaceFor?: Pick<WorkspaceQuery, "rows" | "columns" | "experts">;
  readonly record: (encoder: Encoder, tensors: Readonly<Record<string, Tensor>>) => void;
  readonly steps: readonly OpStep[];
}

export interface OpCase {
  readonly name: string;
  readonly op: OpName;
  /** As `BackendTraits.supports` takes it. */
  readonly dtype: DType;
  /** A second dtype that the backend must support for this op: that of the value cache. */
  readonly otherDType?: DType;
  /** The same data at every call. A plan may be run any number of times, one after the other. */
  readonly plan: () => OpPlan;
}

/** A backend's result is not what a case expects. */
export class CaseFailure extends Error {}
