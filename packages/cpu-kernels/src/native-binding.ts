/** What the addon exports; binding/addon.cc is the other half. */

/** Numbers the addon's memory, lists and requests: a plain count, never a pointer. */
export type Handle = number;

/** First argument of the listener; what follows it depends on the kind. */
export const eventKinds = { submissionDone: 0, readDone: 1, loadDone: 2, loadProgress: 3, drained: 4 } as const;

/** Index: the addon's outcome code. */
export const submissionOutcomes = ["completed", "cancelled", "poisoned", "failed"] as const;
export const loadOutcomes = ["completed", "cancelled", "open-failed", "read-failed", "truncated"] as const;

/**
 * Called on the JavaScript thread:
 * - submissionDone (id, outcome, commandIndex, op, detail, stretches | undefined)
 * - readDone (id, filled): false where the device was disposed first, or the view was detached
 * - loadDone (id, outcome, errno, fileByteLength)
 * - loadProgress (id, byteLength)
 * - drained ()
 */
export type NativeListener = (kind: number, id: number, ...rest: unknown[]) => void;

/** One backend: buffers, lists, threads. Every method but the last two counts as a crossing. */
export interface NativeDevice {
  /** Undefined where the system has no memory. */
  allocate(byteLength: number): Handle | undefined;
  importHost(memory: Uint8Array): Handle;
  release(buffer: Handle): void;
  write(buffer: Handle, byteOffset: number, bytes: Uint8Array): void;
  read(id: number, buffer: Handle, byteOffset: number, into: Uint8Array): void;
  /** `counters[i]` is what the packed signals with handle i point into. */
  createList(words: Uint32Array, numbers: Float64Array, counters: readonly Int32Array[]): Handle;
  listByteLength(list: Handle): number;
  releaseList(list: Handle): void;
  /** `bindings` in the order of `bindingNames`; `faultAtCommand` -1: none. */
  submit(id: number, list: Handle, bindings: Float64Array, trace: boolean, faultAtCommand: number): void;
  cancel(id: number): void;
  load(id: number, buffer: Handle, byteOffset: number, slices: Float64Array, path: string, fileOffset: number): void;
  cancelLoad(id: number): void;
  /** Stores whole file rows; `firstRow` counts selected rows. It, and the row after the last, begin a group of 16 rows of their matrix. */
  storeRows(buffer: Handle, byteOffset: number, slices: Float64Array, firstRow: number, numRows: number, fileRows: Uint8Array): void;
  /** Cancels everything; `drained` is the last event. */
  dispose(): void;
  allocatedBytes(): number;
  crossings(): number;
}

export interface NativeBinding {
  readonly NativeDevice: new (isa: string, threads: number, listener: NativeListener, throttle: number) => NativeDevice;
  /** Kernels of this build that this processor runs, the fastest first. */
  supportedIsas(): string[];
  /** Best and median of several passes; undefined where the system has no memory of that size. */
  measureReadBandwidth(
    threads: number,
    byteLength: number,
    durationMs: number,
  ): Promise<{ readonly bestBytesPerSecond: number; readonly medianBytesPerSecond: number; readonly numPasses: number } | undefined>;
  /** Bytes of a packed matrix; undefined for a type that is never packed. */
  packedByteLength(ggmlType: number, rows: number, columns: number): number | undefined;
}
