import {
  assert,
  type Backend,
  type BackendStatistics,
  type CommandList,
  type DeviceBuffer,
  type DeviceId,
  type DeviceInfo,
  type Encoder,
  InsufficientMemoryError,
  InvalidTensorError,
  type LoadOptions,
  type MemoryReservation,
  type ModelSource,
  type StepBindings,
  type Submission,
  type SubmitOptions,
  sliceTensor,
  type Tensor,
  type TensorInfo,
} from "@thermocline/spec";
import { ReferenceBuffer } from "./buffer.js";
import { ReferenceCommandList, ReferenceEncoder } from "./command-list.js";
import { Executor } from "./executor.js";
import { loadWeight } from "./load-weight.js";
import { floatsOf, resolveContiguous } from "./tensor-view.js";
import { referenceTraits } from "./traits.js";

export interface ReferenceBackendOptions {
  /** Default: "reference:0". */
  readonly id?: DeviceId;
  /** Longest computation between two turns of the event loop; a single attention row or a piece of a product may exceed it. Default: 8. */
  readonly yieldEveryMs?: number;
  /** Physical bytes to report; budgets are the ledger's. Default: 4 GiB. */
  readonly totalBytes?: number;
}

/**
 * The oracle that other backends are measured against, and the fallback where no addon runs: f32 storage, sums in double precision, no
 * native code and nothing of Node, so that it runs in a browser. Everything is computed on the JavaScript thread.
 */
export function createReferenceBackend(options: ReferenceBackendOptions = {}): Backend {
  return new ReferenceBackend(options);
}

class ReferenceBackend implements Backend {
  readonly device: DeviceInfo;
  readonly traits = referenceTraits;
  readonly #executor: Executor;
  readonly #buffers = new Set<ReferenceBuffer>();
  readonly #loads = new Set<Promise<void>>();
  readonly #disposal = new AbortController();
  #submissions = 0;
  #allocatedBytes = 0;
  #disposed = false;

  constructor({ id = "reference:0", yieldEveryMs = 8, totalBytes = 4 * 2 ** 30 }: ReferenceBackendOptions) {
    this.device = { id, kind: "cpu", name: "Reference, JavaScript", totalBytes };
    this.#executor = new Executor(id, yieldEveryMs);
  }

  allocate(reservation: MemoryReservation): DeviceBuffer {
    this.#checkUsable();
    assert(reservation.device === this.device.id, `"${reservation.label}" is reserved on ${reservation.device}, not on ${this.device.id}`);
    const { byteLength } = reservation;
    const buffer = this.#own(reservation, this.#zeroes(byteLength), () => {
      this.#allocatedBytes -= byteLength;
    });
    this.#allocatedBytes += byteLength;
    return buffer;
  }

  importHost(memory: Uint8Array, reservation: MemoryReservation): DeviceBuffer {
    this.#checkUsable();
    return this.#own(reservation, memory, () => {});
  }

  async load(source: ModelSource, info: TensorInfo, into: Tensor, options: LoadOptions = {}): Promise<void> {
    this.#checkUsable();
    const { shape } = sliceTensor(info, options.slices);
    const fits =
      into.dtype === info.dtype && into.shape.length === shape.length && shape.every((length, axis) => length === into.shape[axis]);
    if (!fits) throw new InvalidTensorError(info.name, `[${into.shape}] in ${into.dtype}`, `[${shape}] in ${info.dtype}`);
    assert(into.layout === referenceTraits.weightLayout(info), `${info.name} is loaded into a ${into.layout} tensor`);
    const signals = [this.#disposal.signal, ...(options.signal === undefined ? [] : [options.signal])];
    const load = loadWeight(source, info, floatsOf(resolveContiguous("into", into)), { ...options, signal: AbortSignal.any(signals) });
    this.#loads.add(load);
    try {
      await load;
    } finally {
      this.#loads.delete(load);
    }
  }

  write(into: Tensor, bytes: Uint8Array): void {
    this.#checkUsable();
    this.#bytesOf("into", into, bytes.byteLength).set(bytes);
  }

  async read(from: Tensor, into: Uint8Array): Promise<void> {
    this.#checkUsable();
    this.#bytesOf("from", from, into.byteLength);
    await this.#executor.enqueue(() => into.set(this.#bytesOf("from", from, into.byteLength)));
  }

  createEncoder(): Encoder {
    this.#checkUsable();
    return new ReferenceEncoder(this.device.id);
  }

  submit(commands: CommandList, bindings: StepBindings, options: SubmitOptions = {}): Submission {
    this.#checkUsable();
    assert(commands instanceof ReferenceCommandList, `a list for ${commands.device} was submitted to ${this.device.id}`);
    assert(commands.device === this.device.id, `a list for ${commands.device} was submitted to ${this.device.id}`);
    this.#submissions++;
    return this.#executor.submit(commands.commands, { ...bindings }, options);
  }

  statistics(): BackendStatistics {
    return { submissions: this.#submissions, crossings: 0, allocatedBytes: this.#allocatedBytes };
  }

  /** Cancels submissions and loads, waits for their ends and frees every buffer. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#disposal.abort(new DOMException(`${this.device.id} was disposed`, "AbortError"));
    await Promise.all([this.#executor.stop(), Promise.allSettled(this.#loads)]);
    for (const buffer of this.#buffers) buffer[Symbol.dispose]();
  }

  #own(reservation: MemoryReservation, memory: Uint8Array, onDispose: () => void): ReferenceBuffer {
    const buffer = new ReferenceBuffer(this.device.id, reservation, memory, (disposed) => {
      this.#buffers.delete(disposed);
      onDispose();
    });
    this.#buffers.add(buffer);
    return buffer;
  }

  #zeroes(byteLength: number): Uint8Array {
    try {
      return new Uint8Array(byteLength);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new InsufficientMemoryError(
        this.device.id,
        byteLength,
        0,
        [],
        "the JavaScript engine refused an array of this size; place less here",
      );
    }
  }

  #bytesOf(field: string, tensor: Tensor, byteLength: number): Uint8Array {
    assert(tensor.layout === "plain", `${field} is packed; only plain tensors are read and written`);
    const { bytes } = resolveContiguous(field, tensor);
    assert(bytes.byteLength === byteLength, `${field} takes ${bytes.byteLength} bytes, not ${byteLength}`);
    return bytes;
  }

  #checkUsable(): void {
    assert(!this.#disposed, `${this.device.id} is used after it was disposed`);
  }
}
