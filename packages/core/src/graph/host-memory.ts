/**
 * The host memory that all devices of an engine and the caller share: a step's inputs and outputs, the tensors that change hands
 * between devices, and the signals' counters. Laid out by name first, then allocated once as a SharedArrayBuffer.
 */
import { assert, signalSlotStride } from "@thermocline/spec";

/** A cache line: two regions never share one. */
const regionAlignment = 64;

export class HostLayout {
  readonly #offsets = new Map<string, { byteOffset: number; byteLength: number }>();
  #byteLength = 0;
  #numSignals = 0;

  /** Sets bytes aside under a name; asking again for a name grows nothing and must not ask for more. */
  add(region: string, byteLength: number): void {
    const known = this.#offsets.get(region);
    if (known !== undefined) {
      assert(byteLength <= known.byteLength, `host region ${region} was laid out smaller`);
      return;
    }
    this.#offsets.set(region, { byteOffset: this.#byteLength, byteLength });
    this.#byteLength += Math.ceil(byteLength / regionAlignment) * regionAlignment;
  }

  offsetOf(region: string): number {
    return this.#known(region).byteOffset;
  }

  byteLengthOf(region: string): number {
    return this.#known(region).byteLength;
  }

  #known(region: string): { readonly byteOffset: number; readonly byteLength: number } {
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
    return this.#byteLength + this.#numSignals * signalSlotStride * Int32Array.BYTES_PER_ELEMENT;
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
