import assert from "node:assert/strict";
import type { DeviceBuffer, DeviceId, MemoryReservation } from "@thermocline/spec";
import type { Handle } from "./native-binding.js";

/** Memory of one backend, known to the addon by a handle. */
export class NativeBuffer implements DeviceBuffer {
  #handle: Handle | undefined;

  constructor(
    readonly device: DeviceId,
    readonly reservation: MemoryReservation,
    readonly byteLength: number,
    handle: Handle,
    private readonly onDispose: (buffer: NativeBuffer, handle: Handle) => void,
  ) {
    this.#handle = handle;
  }

  /** @throws AssertionError after disposal. */
  get handle(): Handle {
    assert(this.#handle !== undefined, `buffer "${this.reservation.label}" on ${this.device} is used after it was disposed`);
    return this.#handle;
  }

  /**
   * Gives the reservation back at once; the bytes follow with the last list, read or load that still uses them. Idempotent.
   */
  [Symbol.dispose](): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#handle = undefined;
    this.onDispose(this, handle);
    this.reservation[Symbol.dispose]();
  }
}
