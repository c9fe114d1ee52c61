/** A device, its memory and its queue. */
import type { DType } from "./dtype.js";
import type { Encoder } from "./kernel-set.js";
import type { DeviceId, MemoryReservation } from "./memory.js";
import type { ModelSource, TensorInfo } from "./model-source.js";
import type { OpName } from "./op-table.js";

export interface DeviceInfo {
  readonly id: DeviceId;
  readonly kind: "cpu" | "gpu";
  /** For people: "CPU, AVX-512 VNNI, 2 threads". */
  readonly name: string;
  /** Physical bytes of the device's memory. A budget is usually less. */
  readonly totalBytes: number;
  /** Of these, what the device's runtime takes before anything is allocated: a CUDA context. Absent: nothing. */
  readonly contextBytes?: number;
}

/** `count` consecutive indices from `first`. */
export type IndexRange = readonly [first: number, count: number];

/** The part of a tensor that a plan gives to one device: ascending, disjoint ranges along one axis of the plain shape. */
export interface TensorSlice {
  readonly axis: number;
  readonly ranges: readonly IndexRange[];
}

export type WeightLayout = "plain" | "packed";

/** A workspace is a contiguous vector of i8 whose byte offset is a multiple of this: vector loads and cache lines of every backend. */
export const workspaceAlignment = 64;

/** What an op needs beside its operands, for its largest bindings. */
export interface WorkspaceQuery {
  readonly op: OpName;
  /** Of the weight or table; f32 where the op has none. */
  readonly dtype: DType;
  /** Rows of the output: tokens, output rows, or tokens times the experts that each uses. */
  readonly rows: number;
  /** Columns of the input: hidden size, or vocabulary. */
  readonly columns: number;
  /** Experts of the layer, for `expertMatmul`. */
  readonly experts?: number;
}

/** Pure TypeScript and importable without the addon: planning needs it where no native package is installed. */
export interface BackendTraits {
  readonly kind: string;
  /** Byte offsets of tensors inside a buffer are multiples of this. */
  readonly alignment: number;
  /** KV cache dtypes, the default first. */
  readonly kvDTypes: readonly DType[];
  /** Kernels read and write imported host memory directly; a device that cannot records `copy`. */
  readonly readsHostMemory: boolean;
  /** The layout in which `load` stores a weight of this dtype. */
  weightLayout(info: TensorInfo): WeightLayout;
  /** Bytes that a tensor, or the slices of it that a plan gives this device, takes in this backend's layout. */
  packedByteLength(info: TensorInfo, slices?: readonly TensorSlice[]): number;
  /**
   * Host bytes that `load` takes beside its destination for a tensor, or slices of it: file rows on their way. The most for any location of
   * the file, so that a plan made from an address holds for a path, and no more for slices than for the whole.
   */
  loadStagingByteLength(info: TensorInfo, slices?: readonly TensorSlice[]): number;
  /** `dtype` is the weight's, the table's or the cache's; f32 for ops without one. */
  supports(op: OpName, dtype: DType): boolean;
  /** Bytes of the `workspace` tensor that `op` takes; 0 where it takes none. */
  workspaceByteLength(query: WorkspaceQuery): number;
}

/** Owns its bytes and their reservation: disposing it gives both back. */
export interface DeviceBuffer extends Disposable {
  readonly device: DeviceId;
  readonly reservation: MemoryReservation;
  readonly byteLength: number;
}

/** What changes from step to step; recorded lists are replayed with new values. Order here is the order of the packed form. */
export const bindingNames = ["step", "numTokens", "numSequences", "numOutputRows", "maxContextLength"] as const;
export type BindingName = (typeof bindingNames)[number];
export type StepBindings = Readonly<Record<BindingName, number>>;

/** A dimension is a number, or a binding whose value each step supplies. */
export type Dim = number | BindingName;

/** A typed view. Cheap; owns nothing. */
export interface Tensor {
  readonly buffer: DeviceBuffer;
  readonly byteOffset: number;
  readonly dtype: DType;
  /** A packed weight can be read only by the backend that packed it; its `shape` stays the plain one. */
  readonly layout: WeightLayout;
  /** Row-major, outermost first, at most 4 dimensions. */
  readonly shape: readonly Dim[];
  /** Elements from one index of axis 0 to the next; the other axes are contiguous. Absent: contiguous too, as vectors must be. */
  readonly rowStride?: number;
}

/**
 * A slot in shared host memory that holds the number of the last step signalled there.
 *
 * Protocol, for step s > 0, on the 32-bit value v at `counters[slot]`:
 * - `signal` raises v to s, unless |v| >= s (another signal or a poison of this step came first).
 * - poison raises |v| to s as v = -s, also over v = s.
 * - `wait` passes when v = s or v > s, and falls through as poisoned when v <= -s; it never outlives its submission: a
 *   cancelled list leaves its waits by itself.
 * A list that fell through runs none of its remaining kernels and poisons every signal that it still had to give.
 * Native stores wake no `Atomics.waitAsync`: a JavaScript executor polls and yields to its event loop.
 */
export interface StepSignal {
  /** A view over a SharedArrayBuffer. */
  readonly counters: Int32Array;
  readonly slot: number;
}

/** Slots lie this many 32-bit values apart, a cache line each. */
export const signalSlotStride = 16;

/** What a backend keeps of a recording: the members of a CommandList, without the mark that only `CommandEncoder.finish` gives. */
export interface RecordedCommands extends Disposable {
  readonly device: DeviceId;
  /** Number of commands. */
  readonly length: number;
  /** Host bytes that the list itself takes. */
  readonly byteLength: number;
}

declare const recorded: unique symbol;
/** Commands recorded for one device, to be submitted any number of times. */
export interface CommandList extends RecordedCommands {
  readonly [recorded]: true;
}

/** `completed`: every command ran. `cancelled`: this list was. `poisoned`: a list that it waited for was cancelled or failed. */
export type SubmissionOutcome = "completed" | "cancelled" | "poisoned";

export interface SubmissionReport {
  readonly outcome: SubmissionOutcome;
  /** With `trace`: begin and end of each stretch between waits and signals, in ms of `performance.now()`'s clock with its time origin
   *  taken away (that is, `process.hrtime()`); two numbers a stretch, in order. A list with n waits and signals has n + 1 stretches. */
  readonly stretches?: Float64Array;
}

export interface Submission {
  /** Resolves when the list has run or was left; rejects with DeviceFaultError (device, command, op) when a command failed. */
  readonly done: Promise<SubmissionReport>;
  /**
   * Poisons this list's signals: waiters on other devices fall through, results are discarded, nothing hangs. Idempotent.
   * A list that is still queued poisons them, and settles `done`, when it reaches the head of its device's queue, and no sooner: the
   * poison of a later step would hide the steps that lists ahead of it have yet to signal. Until then its waiters wait.
   */
  cancel(): void;
}

export interface SubmitOptions {
  readonly trace?: boolean;
  /** Makes the command with this index fail, to test what a fault leaves behind. */
  readonly faultAtCommand?: number;
}

export interface BackendStatistics {
  /** Lists submitted since the backend was made. */
  readonly submissions: number;
  /** Calls that crossed into native code; 0 for a backend in JavaScript. */
  readonly crossings: number;
  /** Bytes now allocated for buffers; imported host memory is not among them. */
  readonly allocatedBytes: number;
}

export interface LoadOptions {
  readonly slices?: readonly TensorSlice[];
  readonly signal?: AbortSignal;
  /** Called on the JavaScript thread with the number of file bytes read since the last call. */
  readonly onBytes?: (byteLength: number) => void;
}

export interface Backend extends AsyncDisposable {
  readonly device: DeviceInfo;
  readonly traits: BackendTraits;
  /** Zero-filled memory of the reservation's size; the reservation passes to the buffer. */
  allocate(reservation: MemoryReservation): DeviceBuffer;
  /** Makes host memory that somebody else owns (a view over a SharedArrayBuffer, or pinned memory) usable as a buffer of this
   *  backend: how two devices, and the caller, see one staging tensor. Disposing it leaves the memory alone. */
  importHost(memory: Uint8Array, reservation: MemoryReservation): DeviceBuffer;
  /** Reads a tensor, or slices of it (at most one per axis), into this backend's layout, off the JavaScript thread where the backend is
   *  native. `into` has the sliced shape. @throws InvalidTensorError where a slice cuts a quantisation block. */
  load(source: ModelSource, info: TensorInfo, into: Tensor, options?: LoadOptions): Promise<void>;
  /** Copies bytes into a plain, contiguous tensor at once; call it while no submission runs that uses the tensor. */
  write(into: Tensor, bytes: Uint8Array): void;
  /** Copies a plain, contiguous tensor out; resolves after everything submitted before it. Dimensions must be numbers. */
  read(from: Tensor, into: Uint8Array): Promise<void>;
  createEncoder(): Encoder;
  /** Enqueues and returns: one crossing. Lists run in the order of submission. */
  submit(commands: CommandList, bindings: StepBindings, options?: SubmitOptions): Submission;
  statistics(): BackendStatistics;
}
