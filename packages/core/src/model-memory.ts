/** A model's memory on its devices: allocated from one reservation, filled from the file, given back whole. */
import type { Backend, DeviceBuffer, DeviceId, MemoryLedger, MemoryReservation, ModelSource, Tensor } from "@thermocline/spec";
import type { DraftRegion } from "./graph/draft-buffer.js";
import type { HostMemory } from "./graph/host-memory.js";
import { loadStagingLabel } from "./graph/load-staging.js";
import { type ModelGraph, memoryRequestsOf } from "./graph/model-graph.js";

export interface LoadProgress {
  readonly loadedBytes: number;
  /** Bytes of the file that will be read; a weight on two devices counts twice. */
  readonly totalBytes: number;
}

export interface LoadOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
}

export class ModelMemory implements Disposable {
  /** Held for as long as the model is. */
  readonly reservations: readonly MemoryReservation[];
  /** Held until the weights are loaded. */
  readonly #loadReservations: readonly MemoryReservation[];
  readonly #buffers: DeviceBuffer[] = [];
  readonly #weights = new Map<string, { buffer: DeviceBuffer; byteOffset: number }>();
  readonly #kvCaches = new Map<string, { buffer: DeviceBuffer; valueByteOffset: number }>();
  readonly #arenas = new Map<DeviceId, DeviceBuffer>();
  readonly #hostViews = new Map<DeviceId, DeviceBuffer>();
  readonly host: HostMemory;

  /** @throws InsufficientMemoryError; nothing is reserved or allocated then. */
  constructor(
    private readonly graph: ModelGraph,
    private readonly backends: ReadonlyMap<DeviceId, Backend>,
    ledger: MemoryLedger,
    owner: string,
  ) {
    const reservations = ledger.reserve(memoryRequestsOf(graph, owner, contextBytesOf(backends, ledger)));
    this.reservations = reservations.filter(({ label }) => label !== loadStagingLabel);
    this.#loadReservations = reservations.filter(({ label }) => label === loadStagingLabel);
    try {
      this.host = graph.hostLayout.allocate();
      this.#allocate();
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #allocate(): void {
    const take = (memoryClass: MemoryReservation["class"], device: DeviceId, label?: string) =>
      this.reservations.find(
        (reservation) =>
          reservation.class === memoryClass && reservation.device === device && (label === undefined || reservation.label === label),
      )!;
    const keep = (buffer: DeviceBuffer) => {
      this.#buffers.push(buffer);
      return buffer;
    };
    for (const { device, unit, weights } of this.graph.weightBlocks) {
      const buffer = keep(this.#backend(device).allocate(take("weights", device, unit)));
      for (const { use, byteOffset } of weights) this.#weights.set(use.key, { buffer, byteOffset });
    }
    for (const { device, layer, valueByteOffset } of this.graph.kvCacheBlocks) {
      const buffer = keep(this.#backend(device).allocate(take("kv-cache", device, `layer ${layer}`)));
      this.#kvCaches.set(`${device} ${layer}`, { buffer, valueByteOffset });
    }
    for (const device of this.graph.devices.keys()) {
      this.#arenas.set(device, keep(this.#backend(device).allocate(take("activations", device))));
      this.#hostViews.set(device, keep(this.#backend(device).importHost(this.host.bytes, take("staging", device))));
    }
  }

  /** Where a drafted region lies on a device. */
  resolve(
    device: DeviceId,
    region: DraftRegion,
    arenaOffsets: readonly (number | undefined)[],
  ): { buffer: DeviceBuffer; byteOffset: number } {
    switch (region.kind) {
      case "activation":
        return { buffer: this.#arenas.get(device)!, byteOffset: arenaOffsets[region.id]! };
      case "weight":
        return this.#weights.get(region.key)!;
      case "kv-cache": {
        const { buffer, valueByteOffset } = this.#kvCaches.get(`${device} ${region.layer}`)!;
        return { buffer, byteOffset: region.part === "key" ? 0 : valueByteOffset };
      }
      case "host":
        return { buffer: this.#hostViews.get(device)!, byteOffset: this.host.layout.offsetOf(region.region) };
    }
  }

  /** Fills every byte of the KV caches with a byte value: 0xff makes each element NaN. */
  fillKvCaches(value: number): void {
    for (const { buffer } of this.#kvCaches.values()) {
      const bytes = new Uint8Array(buffer.byteLength).fill(value);
      this.#backend(buffer.device).write({ buffer, byteOffset: 0, dtype: "i8", layout: "plain", shape: [buffer.byteLength] }, bytes);
    }
  }

  /** Reads every weight into place, the devices side by side, and gives back what only that took. */
  async load(source: ModelSource, options: LoadOptions = {}): Promise<void> {
    const { signal, onProgress } = options;
    const totalBytes = this.#totalBytes(source);
    let loadedBytes = 0;
    const onBytes = (byteLength: number) => {
      loadedBytes = Math.min(loadedBytes + byteLength, totalBytes);
      onProgress?.({ loadedBytes, totalBytes });
    };
    // One device's failure stops the others before anything is given back.
    const stop = new AbortController();
    const loadSignal = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
    const loads = [...this.graph.devices.keys()].map(async (device) => {
      try {
        await this.#loadDevice(source, device, loadSignal, onBytes);
      } catch (error) {
        stop.abort(error);
        throw error;
      }
    });
    const failed = (await Promise.allSettled(loads)).some((outcome) => outcome.status === "rejected");
    for (const reservation of this.#loadReservations) reservation[Symbol.dispose]();
    if (failed) throw stop.signal.reason;
    onProgress?.({ loadedBytes: totalBytes, totalBytes });
  }

  async #loadDevice(source: ModelSource, device: DeviceId, signal: AbortSignal, onBytes: (byteLength: number) => void): Promise<void> {
    const backend = this.#backend(device);
    for (const { key, device: owner, dtype, shape, bytes } of this.graph.plain.constants.values()) {
      if (owner === device) backend.write({ ...this.#weights.get(key)!, dtype, layout: "plain", shape }, bytes);
    }
    for (const use of this.graph.plain.weights.values()) {
      if (use.device !== device) continue;
      signal.throwIfAborted();
      const info = source.tensors.get(use.name)!;
      const into: Tensor = {
        ...this.#weights.get(use.key)!,
        dtype: use.dtype,
        layout: backend.traits.weightLayout(info),
        shape: use.shape,
      };
      await backend.load(source, info, into, { slices: use.slices, signal, onBytes });
    }
  }

  #totalBytes(source: ModelSource): number {
    let totalBytes = 0;
    for (const { name, slices } of this.graph.plain.weights.values()) {
      const { range, shape } = source.tensors.get(name)!;
      const rows = slices.find((slice) => slice.axis === 0)?.ranges.reduce((sum, [, count]) => sum + count, 0) ?? shape[0]!;
      totalBytes += (range.byteLength / shape[0]!) * rows;
    }
    return Math.round(totalBytes);
  }

  #backend(device: DeviceId): Backend {
    return this.backends.get(device)!;
  }

  [Symbol.dispose](): void {
    for (const buffer of this.#buffers.splice(0)) buffer[Symbol.dispose]();
    for (const reservation of [...this.reservations, ...this.#loadReservations]) reservation[Symbol.dispose]();
  }
}

/** Of devices whose runtime takes memory that no model has booked yet: models on one device share it. */
function contextBytesOf(backends: ReadonlyMap<DeviceId, Backend>, ledger: MemoryLedger): ReadonlyMap<DeviceId, number> {
  const booked = new Set(ledger.report().flatMap(({ device, class: memoryClass }) => (memoryClass === "context" ? [device] : [])));
  const unbooked = [...backends].filter(([id]) => !booked.has(id));
  return new Map(unbooked.map(([id, { device }]) => [id, device.contextBytes ?? 0]));
}
