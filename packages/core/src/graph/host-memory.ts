/**
 * The host memory that all devices of an engine and the caller share: a step's inputs and outputs, the tensors that change hands
 * between devices, and the signals' counters. Laid out by name first, then allocated once as a SharedArrayBuffer.
 */
import { assert, signalSlotStride } from "@thermocline/spec";

/** A cache line: two regions never share one. */
const regionAlignment = 64;
export const bytesPerSignal = signalSlotStride * Int32Array.BYTES_PER_ELEMENT;

/** Bytes that a region takes of the host memory. */
export function paddedByteLength(byteLength: number): number {
  return Math.ceil(byteLength / regionAlignment) * regionAlignment;
}

/** The class that a region's bytes are booked under: the caller's own, or what devices hand over. */
export type HostMemoryClass = "staging" | "transfer";

export interface HostRegion {
  readonly byteOffset: number;
  readonly byteLength: number;
  readonly memoryClass: HostMemoryClass;
}

export class HostLayout {
  readonly #offsets = new Map<string, HostRegion>();
  #byteLength = 0;
  #numSignals = 0;

  /** Sets bytes aside under a name; asking again for a name grows nothing and must not ask for more. */
  add(region: string, byteLength: number, memoryClass: HostMemoryClass): void {
    const known = this.#offsets.get(region);
    if (known !== undefined) {
      assert(byteLength <= known.byteLength, `host region ${region} was laid out smaller`);
      return;
    }
    this.#offsets.set(region, { byteOffset: this.#byteLength, byteLength, memoryClass });
    this.#byteLength += paddedByteLength(byteLength);
  }

  offsetOf(region: string): number {
    return this.#known(region).byteOffset;
  }

  byteLengthOf(region: string): number {
    return this.#known(region).byteLength;
  }

  get regions(): ReadonlyMap<string, HostRegion> {
    return this.#offsets;
  }

  #known(region: string): HostRegion {
    const known = this.#offsets.get(region);
    assert(known !== undefined, `no host region ${region}`);
    return known;
  }

  /** Drafts use slots 0 … count - 1; drafts that never run in the same step may use the same ones. */
  addSignals(count: number): void {
    this.#numSignals = Math.max(this.#numSignals, count);
  }

  /** Regions, then the counters. */
  get byteLength(): number {
    return this.#byteLength + this.#numSignals * bytesPerSignal;
  }

  /** The share of a class in `byteLength`; the counters are for hand-overs. */
  byteLengthOfClass(memoryClass: HostMemoryClass): number {
    let sum = memoryClass === "transfer" ? this.#numSignals * bytesPerSignal : 0;
    for (const region of this.#offsets.values()) if (region.memoryClass === memoryClass) sum += paddedByteLength(region.byteLength);
    return sum;
  }

  allocate(): HostMemory {
    // Never empty, so that a view over it always has an address.
    const memory = new SharedArrayBuffer(Math.max(this.byteLength, regionAlignment));
    return new HostMemory(this, memory, new Int32Array(memory, this.#byteLength, this.#numSignals * signalSlotStride));
  }
}

export class HostMemory {
  constructor(
    readonly layout: HostLayout,
    readonly memory: SharedArrayBuffer,
    readonly counters: Int32Array,
  ) {}

  get bytes(): Uint8Array {
    return new Uint8Array(this.memory);
  }

  /** The whole of a region. */
  int32(region: string): Int32Array {
    return new Int32Array(this.memory, this.layout.offsetOf(region), this.layout.byteLengthOf(region) / Int32Array.BYTES_PER_ELEMENT);
  }

  /** The whole of a region. */
  float32(region: string): Float32Array {
    return new Float32Array(this.memory, this.layout.offsetOf(region), this.layout.byteLengthOf(region) / Float32Array.BYTES_PER_ELEMENT);
  }
}
