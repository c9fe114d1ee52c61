/** What a machine can hold and how fast it is: measured by `thermocline doctor --calibrate`, or taken from published figures. */
import type { DType } from "./dtype.js";
import type { DeviceId } from "./memory.js";

/** A figure by dtype; `other` for every dtype that has none of its own. */
export type RateByDType = Readonly<Partial<Record<DType, number>>> & { readonly other: number };

/**
 * A step takes a device, for weights of n bytes and e elements that t tokens meet, max(n / weightBytesPerSecond, 2 e t / operationsPerSecond)
 * seconds; for c bytes of KV cache and a multiply-adds max(c / kvBytesPerSecond, 2 a / attentionOperationsPerSecond); and `commandSeconds`
 * for each command.
 */
export interface DeviceRates {
  /** Weight bytes that products with a single token stream, by the weights' dtype. */
  readonly weightBytesPerSecond: RateByDType;
  /** Multiplications and additions of products with many tokens, by the weights' dtype. */
  readonly operationsPerSecond: RateByDType;
  readonly kvBytesPerSecond: number;
  readonly attentionOperationsPerSecond: number;
  /** What a command costs beside its work: a launch, or a barrier of threads. */
  readonly commandSeconds: number;
}

export interface MachineDevice {
  readonly id: DeviceId;
  readonly kind: "cpu" | "gpu";
  /** The backend that runs it: "cpu", "reference", "cuda". */
  readonly backend: string;
  /** Of a CPU backend. */
  readonly threads?: number;
  /** For people. */
  readonly name: string;
  /** Physical bytes of the memory that it computes from. */
  readonly memoryBytes: number;
  /** Read bandwidth of that memory, the roof of `weightBytesPerSecond`. */
  readonly memoryBytesPerSecond: number;
  /** What the device's runtime takes of its memory before a model is there: a CUDA context. */
  readonly contextBytes: number;
  readonly rates: DeviceRates;
}

/** A hand-over of n bytes takes latencySeconds + n / bytesPerSecond, from the end of the command before it to the start of that after it. */
export interface MachineLink {
  readonly from: DeviceId;
  readonly to: DeviceId;
  readonly bytesPerSecond: number;
  readonly latencySeconds: number;
}

/** How a figure of the profile came about. */
export interface MachineMeasurement {
  /** The device, or two devices joined by "→". */
  readonly subject: string;
  /** The member of the profile that holds the figure: "weightBytesPerSecond.q4_0". */
  readonly quantity: string;
  /** The median, which the profile has. */
  readonly value: number;
  readonly least: number;
  readonly most: number;
  readonly numSamples: number;
}

/** Versioned JSON. Each two devices have at most one link in each direction. */
export interface MachineProfile {
  readonly version: 1;
  readonly name: string;
  /** Where the figures come from: "measured", or an address for a published one. */
  readonly source: string;
  /** ISO 8601, of the measurement. */
  readonly date?: string;
  readonly devices: readonly MachineDevice[];
  readonly links: readonly MachineLink[];
  readonly measurements?: readonly MachineMeasurement[];
  /** What is neither measured nor published, a sentence each. */
  readonly assumptions?: readonly string[];
}
