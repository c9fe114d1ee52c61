/** What a model needs of the devices' memory, known from its header. */
import type { BackendTraits } from "./backend.js";
import type { DType } from "./dtype.js";
import type { DeviceId, MemoryClass } from "./memory.js";
import type { OffloadUnit, Placement } from "./offload-unit.js";

/** What memory is sized by. Absent members take the engine's defaults. */
export interface DemandSettings {
  /** Tokens of one sequence. */
  readonly contextLength?: number;
  /** Tokens in one step: the prefill chunk. */
  readonly maxBatchTokens?: number;
  readonly maxSequences?: number;
  /** Tokens that the KV cache holds over all sequences, in layers that see all of the context. */
  readonly kvCacheTokens?: number;
  /** Absent: each device's own default. */
  readonly keyCacheDType?: DType;
  readonly valueCacheDType?: DType;
  readonly maxScoredTokens?: number;
}

/** Settings with every default that does not depend on a device filled in. */
export type ResolvedDemandSettings = DemandSettings &
  Required<Pick<DemandSettings, "contextLength" | "maxBatchTokens" | "maxSequences" | "kvCacheTokens">>;

/** A device as demands know it: no more than its backend's arithmetic. */
export interface DemandDevice {
  readonly id: DeviceId;
  readonly traits: BackendTraits;
  /** Taken by the device's runtime; default 0. */
  readonly contextBytes?: number;
}

/** Bytes that one unit takes on one device, in its layout. */
export interface UnitBytes {
  /** Of the whole unit. */
  readonly weightBytes: number;
  /** Keys, values and states of the unit's layer, for all that the settings allow; 0 for units without. */
  readonly kvCacheBytes: number;
  /** Of one cached token in this layer, as attention reads it. */
  readonly kvBytesPerToken: number;
  /** Of a unit with rows: a part with n blocks of `rows.blockSize` rows takes at most fixedBytes + n · bytesPerBlock. */
  readonly part?: { readonly fixedBytes: number; readonly bytesPerBlock: number };
  /** Of `weightBytes`, what the device takes only once where this earlier unit lies on it too: a head that is the embedding's table. */
  readonly shared?: { readonly unit: string; readonly byteLength: number };
}

export type BytesByClass = Readonly<Partial<Record<MemoryClass, number>>>;

export interface DeviceDemand {
  /** By unit id; a unit that is missing cannot lie on the device, which lacks a kernel for it. */
  readonly units: Readonly<Record<string, UnitBytes>>;
  /** Beside the units, at most, whatever is placed there; the device takes none of it but `context` where nothing is. */
  readonly overheadBytes: BytesByClass;
}

export interface ModelSummary {
  /** `ModelSource.identity`. */
  readonly identity: string;
  readonly name: string;
  readonly architecture: string;
  /** The dtype that most weight bytes have, or the file's own name for its mixture. */
  readonly quantisation: string;
  readonly numLayers: number;
  /** Longest context that the model was trained for. */
  readonly contextLength: number;
  /** Of all tensors in the file. */
  readonly weightBytes: number;
}

/** Plain data: everything that a solver asks of a model. */
export interface MemoryDemand {
  readonly model: ModelSummary;
  readonly settings: ResolvedDemandSettings;
  /** Why figures are upper bounds and not exact, a sentence each; empty where every byte is exact. */
  readonly estimates: readonly string[];
  /** In the order in which a token passes them. */
  readonly units: readonly OffloadUnit[];
  readonly devices: Readonly<Record<DeviceId, DeviceDemand>>;
  /** Bytes of one token that change hands where the residual stream, or the input or partial sum of a split layer, does. */
  readonly handOverBytesPerToken: number;
}

/** A tensor that lives between commands of a step. */
export interface Intermediate {
  readonly device: DeviceId;
  /** What writes it first: "blk.3.attention matmul". */
  readonly name: string;
  readonly byteLength: number;
  /** In the device's arena, or in the host memory that devices share. */
  readonly region: "arena" | "host";
  /** From the beginning of the region. */
  readonly byteOffset: number;
  /** Indices of commands in the device's list. */
  readonly firstUse: number;
  readonly lastUse: number;
}

/** One reservation that the engine will make. */
export interface PlacedBytes {
  readonly device: DeviceId;
  readonly class: MemoryClass;
  /** "blk.3.feed-forward", "layer 3", "arena". */
  readonly label: string;
  readonly byteLength: number;
}

/** What a model's header tells, on demand. `core` makes one of a `ModelSource`; it is synchronous and allocates nothing on a device. */
export interface DemandModel {
  readonly model: ModelSummary;
  /** @throws InvalidRequestError for settings that the model or a device does not allow. */
  demandOf(devices: readonly DemandDevice[], settings: DemandSettings): MemoryDemand;
  /**
   * Every byte that the engine reserves for a placement; sums of an architecture without a graph are upper bounds, as its demand says. What
   * is labelled "weights being loaded" is given back when they are.
   * @throws InvalidPlanError for a placement that is none.
   */
  bytesOf(devices: readonly DemandDevice[], settings: DemandSettings, placement: Placement): readonly PlacedBytes[];
  /** Empty for an architecture without a graph. */
  intermediatesOf(devices: readonly DemandDevice[], settings: DemandSettings, placement: Placement): readonly Intermediate[];
}
