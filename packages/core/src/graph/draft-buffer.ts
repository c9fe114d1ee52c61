/** Stand-ins for buffers while a graph is drafted, before any memory exists. */

import type { DeviceBuffer, DeviceId, DType, MemoryReservation, TensorSlice } from "@thermocline/spec";
import { AssertionError } from "@thermocline/spec";

/** Where a drafted tensor's bytes will lie. */
export type DraftRegion =
  /** In the device's arena; the id counts activations in the order of the draft. */
  | { readonly kind: "activation"; readonly id: number }
  /** A weight, the slices of it that this device holds, or a constant: what lies in the unit's allocation under this key. */
  | { readonly kind: "weight"; readonly key: string }
  | { readonly kind: "kv-cache"; readonly layer: number; readonly part: "key" | "value" }
  /** In the host memory that every device and the caller share. */
  | { readonly kind: "host"; readonly region: string };

export class DraftBuffer implements DeviceBuffer {
  constructor(
    readonly device: DeviceId,
    /** May change from activation to host while the graph is drafted: a tensor that another device turns out to need. */
    public region: DraftRegion,
    /** For the largest bindings. */
    readonly byteLength: number,
  ) {}

  get reservation(): MemoryReservation {
    throw new AssertionError("a drafted buffer has no memory");
  }

  [Symbol.dispose](): void {}
}

/** A weight that a draft uses on a device. */
export interface WeightUse {
  readonly key: string;
  readonly device: DeviceId;
  readonly unit: string;
  readonly name: string;
  readonly dtype: DType;
  /** After slicing. */
  readonly shape: readonly number[];
  readonly slices: readonly TensorSlice[];
  readonly packedByteLength: number;
  /** Host bytes that its load takes for as long as it runs. */
  readonly loadStagingByteLength: number;
}

/** Values that no tensor of the file holds but that lie with a unit's weights: rotary factors, expert slots. */
export interface ConstantUse {
  readonly key: string;
  readonly device: DeviceId;
  readonly unit: string;
  readonly dtype: "f32" | "i32";
  readonly shape: readonly number[];
  /** The elements, little-endian. */
  readonly bytes: Uint8Array;
  readonly packedByteLength: number;
}

/** A layer's KV cache on a device. */
export interface KvCacheUse {
  readonly device: DeviceId;
  readonly unit: string;
  readonly layer: number;
  /** That the cache has room for. */
  readonly numTokens: number;
  readonly keyByteLength: number;
  readonly valueByteLength: number;
}
