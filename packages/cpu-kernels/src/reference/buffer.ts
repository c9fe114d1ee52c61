import type { DeviceBuffer, DeviceId, MemoryReservation } from "@thermocline/spec";
import { assert } from "@thermocline/spec";

/** Memory of the JavaScript process: allocated here, or imported and left alone at the end. */
export class ReferenceBuffer implements DeviceBuffer {
  readonly byteLength: number;
  #memory: Uint8Array | undefined;

  constructor(
    readonly device: DeviceId,
    readonly reservation: MemoryReservation,
    memory: Uint8Array,
    private readonly onDispose: (buffer: ReferenceBuffer) => void,
  ) {
    assert(memory.byteOffset % 4 === 0, `host memory at byte ${memory.byteOffset} of its buffer is not 4-byte aligned`);
    this.byteLength = memory.byteLength;
    this.#memory = memory;
  }

  /** @throws AssertionError after disposal. */
  get memory(): Uint8Array {
    assert(this.#memory !== undefined, `buffer "${this.reservation.label}" on ${this.device} is used after it was disposed`);
    return this.#memory;
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    if (this.#memory === undefined) return;
    this.#memory = undefined;
    this.onDispose(this);
    this.reservation[Symbol.dispose]();
  }
}
