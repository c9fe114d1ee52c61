import assert from "node:assert/strict";
import { availableParallelism, freemem, totalmem } from "node:os";
import {
  type Backend,
  type BackendStatistics,
  type BackendTraits,
  BackendUnavailableError,
  bindingNames,
  byteLengthOf,
  type CommandList,
  type DeviceBuffer,
  type DeviceId,
  type DeviceInfo,
  type Encoder,
  InsufficientMemoryError,
  InvalidRequestError,
  type LoadOptions,
  type MemoryReservation,
  type ModelSource,
  type StepBindings,
  type Submission,
  type SubmitOptions,
  type Tensor,
  type TensorInfo,
} from "@thermocline/spec";
import { loadCpuBinding } from "./load-binding.js";
import { loadWeight } from "./load-weight.js";
import type { Handle, NativeBinding, NativeDevice } from "./native-binding.js";
import { NativeBuffer } from "./native-buffer.js";
import { NativeCommandList, NativeEncoder } from "./native-encoder.js";
import { PendingRequests } from "./pending-requests.js";
import { createCpuTraits } from "./traits.js";

/** Instruction sets that kernels are built for. */
export const cpuIsas = ["avx512", "avx2", "scalar"] as const;
export type CpuIsa = (typeof cpuIsas)[number];

const isaNames: Readonly<Record<CpuIsa, string>> = { avx512: "AVX-512 VNNI", avx2: "AVX2", scalar: "portable" };
const maxThreads = 1024;
const maxThrottle = 1000;

export interface CpuBackendOptions {
  /** Default: "cpu:0". */
  readonly id?: DeviceId;
  /** Threads that compute, the executor's own among them. Default: the processors that this process may use. */
  readonly threads?: number;
  /** Default: the fastest that this processor runs. */
  readonly isa?: CpuIsa;
  /** For people. Default: "CPU, AVX-512 VNNI, 2 threads". */
  readonly name?: string;
  /**
   * Diagnostic: after each command the device's own thread waits `throttle` − 1 times as long as the command took, so that the device is
   * this many times slower and its results are the same, to the bit. For measuring placements over unequal devices where there is one
   * processor. Loading, reading and hand-overs keep their speed. Default 1.
   */
  readonly throttle?: number;
}

/** Instruction sets of this build that this processor runs, the fastest first. @throws BackendUnavailableError without an addon. */
export function supportedIsas(): readonly CpuIsa[] {
  return loadCpuBinding().supportedIsas() as CpuIsa[];
}

/**
 * Runs command lists in native code, on threads of its own. Several backends live side by side in one process, also in worker threads.
 * @throws BackendUnavailableError where there is no addon, or this processor lacks the instruction set that was asked for;
 * InvalidRequestError for a number of threads or a throttle that cannot be.
 */
export function createCpuBackend(options: CpuBackendOptions = {}): Backend {
  const { threads = availableParallelism(), throttle = 1 } = options;
  if (!Number.isSafeInteger(threads) || threads < 1 || threads > maxThreads)
    throw new InvalidRequestError("threads", threads, `is ${threads}`, `choose a number from 1 to ${maxThreads}`);
  if (!Number.isFinite(throttle) || throttle < 1 || throttle > maxThrottle)
    throw new InvalidRequestError("throttle", throttle, `is ${throttle}`, `choose a number from 1 to ${maxThrottle}`);
  const binding = loadCpuBinding();
  const supported = binding.supportedIsas() as CpuIsa[];
  const { isa = supported[0]! } = options;
  if (!supported.includes(isa))
    throw new BackendUnavailableError(
      `cpu (${isa})`,
      [`this processor runs ${supported.join(", ")}`],
      `choose one of them, or leave isa out`,
    );
  return new CpuBackend(binding, isa, threads, options);
}

class CpuBackend implements Backend {
  readonly device: DeviceInfo;
  readonly traits: BackendTraits;
  readonly #native: NativeDevice;
  readonly #pending: PendingRequests;
  readonly #buffers = new Set<NativeBuffer>();
  readonly #bindings = new Float64Array(bindingNames.length);
  #submissions = 0;
  #disposal: Promise<void> | undefined;

  constructor(binding: NativeBinding, isa: CpuIsa, threads: number, { id = "cpu:0", name, throttle = 1 }: CpuBackendOptions) {
    const slowed = throttle === 1 ? "" : `, ${throttle} times slower`;
    const described = `CPU, ${isaNames[isa]}, ${threads} ${threads === 1 ? "thread" : "threads"}${slowed}`;
    this.device = { id, kind: "cpu", name: name ?? described, totalBytes: totalmem() };
    this.traits = createCpuTraits({ threads });
    this.#pending = new PendingRequests(id);
    this.#native = new binding.NativeDevice(isa, threads, this.#pending.listen, throttle);
  }

  allocate(reservation: MemoryReservation): DeviceBuffer {
    this.#checkUsable();
    const { id } = this.device;
    assert(reservation.device === id, `"${reservation.label}" is reserved on ${reservation.device}, not on ${id}`);
    const { byteLength } = reservation;
    const handle = this.#native.allocate(byteLength);
    if (handle === undefined)
      throw new InsufficientMemoryError(
        id,
        byteLength,
        freemem(),
        [],
        "the system refused the allocation; lower the budget of this device",
      );
    return this.#own(reservation, byteLength, handle);
  }

  /** The view's memory must not be transferred to another thread while it is imported; a SharedArrayBuffer's cannot be. */
  importHost(memory: Uint8Array, reservation: MemoryReservation): DeviceBuffer {
    this.#checkUsable();
    return this.#own(reservation, memory.byteLength, this.#native.importHost(memory));
  }

  async load(source: ModelSource, info: TensorInfo, into: Tensor, options: LoadOptions = {}): Promise<void> {
    this.#checkUsable();
    const { layout } = into;
    assert(layout === this.traits.weightLayout(info), `${info.name} is loaded into a ${layout} tensor`);
    assert(into.rowStride === undefined || layout === "plain", `${info.name} is loaded into a tensor with a row stride`);
    const isDisposed = () => this.#disposal !== undefined;
    const target = { device: this.device.id, native: this.#native, pending: this.#pending, isDisposed, buffer: this.#handleOf(into), into };
    await loadWeight(target, source, info, options);
  }

  write(into: Tensor, bytes: Uint8Array): void {
    this.#checkUsable();
    this.#checkByteLength("into", into, bytes.byteLength);
    this.#native.write(this.#handleOf(into), into.byteOffset, bytes);
  }

  async read(from: Tensor, into: Uint8Array): Promise<void> {
    this.#checkUsable();
    this.#checkByteLength("from", from, into.byteLength);
    const id = this.#pending.nextId();
    this.#native.read(id, this.#handleOf(from), from.byteOffset, into);
    await this.#pending.read(id);
  }

  createEncoder(): Encoder {
    this.#checkUsable();
    const wrapList = (handle: Handle, length: number) =>
      new NativeCommandList(this.device.id, length, this.#native.listByteLength(handle), handle, (disposed) => {
        if (this.#disposal === undefined) this.#native.releaseList(disposed);
      });
    const { traits } = this;
    return new NativeEncoder({ id: this.device.id, traits, native: this.#native, owns: (buffer) => this.#buffers.has(buffer), wrapList });
  }

  submit(commands: CommandList, bindings: StepBindings, options: SubmitOptions = {}): Submission {
    this.#checkUsable();
    assert(commands instanceof NativeCommandList, `a list for ${commands.device} was submitted to ${this.device.id}`);
    assert(commands.device === this.device.id, `a list for ${commands.device} was submitted to ${this.device.id}`);
    bindingNames.forEach((name, index) => {
      this.#bindings[index] = bindings[name];
    });
    const { trace = false, faultAtCommand = -1 } = options;
    const id = this.#pending.nextId();
    this.#native.submit(id, commands.handle, this.#bindings, trace, faultAtCommand);
    this.#submissions++;
    const done = this.#pending.submission(id);
    // A caller may await several submissions one after the other; a rejection that waits for its turn must not end the process.
    done.catch(() => {});
    const cancel = () => {
      if (this.#disposal === undefined && this.#pending.isSubmitted(id)) this.#native.cancel(id);
    };
    return { done, cancel };
  }

  statistics(): BackendStatistics {
    return { submissions: this.#submissions, crossings: this.#native.crossings(), allocatedBytes: this.#native.allocatedBytes() };
  }

  /** Cancels submissions and loads, waits for their ends, ends the threads and frees every buffer. Idempotent. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  async #dispose(): Promise<void> {
    const drained = this.#pending.drained();
    this.#native.dispose();
    await drained;
    for (const buffer of this.#buffers) buffer[Symbol.dispose]();
  }

  #own(reservation: MemoryReservation, byteLength: number, handle: Handle): NativeBuffer {
    const buffer = new NativeBuffer(this.device.id, reservation, byteLength, handle, (disposed, disposedHandle) => {
      this.#buffers.delete(disposed);
      if (this.#disposal === undefined) this.#native.release(disposedHandle);
    });
    this.#buffers.add(buffer);
    return buffer;
  }

  #checkUsable(): void {
    assert(this.#disposal === undefined, `${this.device.id} is used after it was disposed`);
  }

  #handleOf(tensor: Tensor): Handle {
    const buffer: unknown = tensor.buffer;
    assert(buffer instanceof NativeBuffer, `a tensor on ${tensor.buffer.device} was given to ${this.device.id}`);
    const { handle } = buffer;
    assert(this.#buffers.has(buffer), `a tensor of another backend was given to ${this.device.id}`);
    return handle;
  }

  /** For tensors whose bytes are copied in or out: plain, contiguous, of known dimensions, and as long as the caller's bytes. */
  #checkByteLength(field: string, tensor: Tensor, byteLength: number): void {
    const { dtype, layout, shape, rowStride } = tensor;
    assert(layout === "plain", `${field} is packed; only plain tensors are read and written`);
    let numElements = 1;
    for (const dim of shape) {
      assert(typeof dim === "number", `${field} has the dimension ${dim}; reading and writing need numbers`);
      numElements *= dim;
    }
    const rows = shape[0] as number | undefined;
    assert(rowStride === undefined || rowStride * (rows ?? 1) === numElements || rows === 1, `${field} is not contiguous`);
    const needed = byteLengthOf(dtype, numElements);
    assert(needed === byteLength, `${field} takes ${needed} bytes, not ${byteLength}`);
  }
}
