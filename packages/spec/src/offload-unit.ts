/** What can be placed, and what reading it costs: plain data. */
import type { IndexRange } from "./backend.js";
import { type DType, dtypes } from "./dtype.js";
import type { DeviceId } from "./memory.js";

export type UnitKind = "embedding" | "attention" | "feed-forward" | "router" | "experts" | "shared-experts" | "predictor" | "head";

/** Bytes of a unit's weights that are stored as one dtype, as the file holds them, over all rows. */
export interface UnitWeights {
  readonly dtype: DType;
  /** Read in every step. */
  readonly alwaysBytes: number;
  /** Read where their row is active: see `OffloadUnit.activationFrequency`. */
  readonly conditionalBytes: number;
}

/** What the attention of a layer keeps of each sequence, and reads again at every later token. */
export interface UnitKvCache {
  /** A token sees this many tokens, itself included; absent: all before it. */
  readonly slidingWindow?: number;
  /** Products that one query has with one cached token: heads times the elements of a key and of a value. 0 without such a cache. */
  readonly multiplyAddsPerCachedToken: number;
  /** Recurrent state of one sequence, read and written whole by each of its steps. */
  readonly stateBytesPerSequence: number;
}

/**
 * The smallest thing that a plan places; one with `rows` may be split over devices. Units of a model are listed in the order in which a
 * token passes them: embedding, the units of each layer, head.
 */
export interface OffloadUnit {
  /** "embedding", "blk.3.attention", "blk.3.feed-forward", "blk.3.router", "blk.3.experts", "head". */
  readonly id: string;
  readonly kind: UnitKind;
  /** -1 where it belongs to no layer. */
  readonly layer: number;
  readonly tensors: readonly string[];
  /** Neurons or experts that may lie on different devices, and the block at whose multiples alone they may be cut. */
  readonly rows?: {
    readonly count: number;
    readonly blockSize: number;
    /** How often each row is active for a token, 0 to 1, where that was measured; absent: `activationFrequency` for all. */
    readonly activationFrequencies?: readonly number[];
  };
  readonly weights: readonly UnitWeights[];
  /** How often the conditional bytes of a row are read for one token; of a table's rows and of experts, the chance of each. */
  readonly activationFrequency: number;
  /** Present where the layer's KV cache or state lies with the unit. */
  readonly kvCache?: UnitKvCache;
  /** Commands that a device runs for the unit in one step. */
  readonly numCommands: number;
}

/** A share of a unit on one device; `rows` absent: all of it. */
export interface PlacedPart {
  readonly device: DeviceId;
  readonly rows?: readonly IndexRange[];
}

/** Every unit's id with its parts: a plan with its defaults filled in. */
export type Placement = ReadonlyMap<string, readonly PlacedPart[]>;

/** Bytes of all of a unit's weights in the file. */
export function unitByteLength({ weights }: Pick<OffloadUnit, "weights">): number {
  return weights.reduce((sum, { alwaysBytes, conditionalBytes }) => sum + alwaysBytes + conditionalBytes, 0);
}

/** Elements in so many bytes of a dtype. */
export function numElementsIn(dtype: DType, byteLength: number): number {
  const { blockSize, blockBytes } = dtypes[dtype];
  return (byteLength / blockBytes) * blockSize;
}
