/** How fast this machine's threads read memory: the roof of decoding. */
import { availableParallelism } from "node:os";
import { type DeviceId, InsufficientMemoryError, InvalidRequestError, type MemoryLedger } from "@thermocline/spec";
import { loadCpuBinding } from "./load-binding.js";

export interface ReadBandwidthOptions {
  /** Default: the processors that this process may use. */
  readonly threads?: number;
  /** A multiple of 64, well above the size of all caches together. Default: 512 MiB. */
  readonly byteLength?: number;
  /** About how long to measure; three passes are made at least. Default: 500. */
  readonly durationMs?: number;
  /** The memory is reserved here, on `device`, for as long as it is read; absent: it is taken beside every ledger. */
  readonly ledger?: MemoryLedger;
  /** Default: "cpu:0". */
  readonly device?: DeviceId;
}

export interface ReadBandwidth {
  /** Of the fastest pass: what the machine can do when nothing disturbs it. */
  readonly bytesPerSecond: number;
  /** Of the pass in the middle: how far below that it was while measuring. */
  readonly medianBytesPerSecond: number;
  readonly numPasses: number;
  readonly threads: number;
  readonly byteLength: number;
}

const maxThreads = 1024;

/**
 * Reads the same memory from front to back again and again on `threads` native threads, off the JavaScript thread.
 * It takes `byteLength` bytes of host memory while it runs.
 * @throws BackendUnavailableError without an addon, InvalidRequestError, InsufficientMemoryError.
 */
export async function measureReadBandwidth(options: ReadBandwidthOptions = {}): Promise<ReadBandwidth> {
  const { threads = availableParallelism(), byteLength = 512 * 2 ** 20, durationMs = 500, ledger, device = "cpu:0" } = options;
  if (!Number.isSafeInteger(threads) || threads < 1 || threads > maxThreads)
    throw new InvalidRequestError("threads", threads, `is ${threads}`, `choose a number from 1 to ${maxThreads}`);
  if (!Number.isSafeInteger(byteLength) || byteLength < 64 || byteLength % 64 !== 0)
    throw new InvalidRequestError("byteLength", byteLength, `is ${byteLength}`, "choose a positive multiple of 64");
  if (!(durationMs >= 0 && durationMs < Number.POSITIVE_INFINITY))
    throw new InvalidRequestError("durationMs", durationMs, `is ${durationMs}`, "choose a number of milliseconds from 0");
  const refusal = () =>
    new InsufficientMemoryError(device, byteLength, process.availableMemory(), [], "measure the bandwidth with a smaller byteLength");
  const binding = loadCpuBinding();
  const request = { device, owner: "calibration", class: "activations", byteLength, label: "memory that is read" } as const;
  using _reservation = ledger?.reserve([request])[0];
  // The system hands out more than it has, and ends a process that then writes to it.
  if (byteLength > process.availableMemory()) throw refusal();
  const measured = await binding.measureReadBandwidth(threads, byteLength, durationMs);
  if (measured === undefined) throw refusal();
  const { bestBytesPerSecond, medianBytesPerSecond, numPasses } = measured;
  return { bytesPerSecond: bestBytesPerSecond, medianBytesPerSecond, numPasses, threads, byteLength };
}
