/** A device under measurement: memory that a ledger knows, lists, and how long the device takes for them. */
import {
  assert,
  type Backend,
  byteLengthOf,
  type CommandList,
  type DeviceBuffer,
  type DType,
  type Encoder,
  type MemoryClass,
  type MemoryLedger,
  type MemoryReservation,
  type StepBindings,
  type Submission,
  type SubmissionReport,
  type Tensor,
} from "@thermocline/spec";
import { createCalibrationWeight } from "./calibration-weights.js";

export interface RepeatOptions {
  /** About how long to repeat. */
  readonly seconds: number;
  readonly leastSamples?: number;
  readonly mostSamples?: number;
}

const zeros = new Uint8Array(1 << 20);

/** A clock's tick: no list takes less, and rates stay finite where a coarse clock saw nothing pass. */
const leastSeconds = 1e-9;

/** Disposing it gives back all memory that it took. */
export class DeviceBench implements Disposable {
  readonly #owned: Disposable[] = [];
  #step = 0;

  constructor(
    readonly backend: Backend,
    private readonly ledger: MemoryLedger,
    readonly signal: AbortSignal | undefined,
  ) {}

  /**
   * Zeros that have been written: memory that was only allocated is the same page again and again, and would be read from a cache.
   * @throws InsufficientMemoryError where the ledger has no room for them.
   */
  tensor(dtype: DType, shape: readonly number[]): Tensor {
    const numElements = shape.reduce((product, length) => product * length, 1);
    const buffer = this.#allocate("activations", byteLengthOf(dtype, numElements));
    const tensor: Tensor = { buffer, byteOffset: 0, dtype, layout: "plain", shape };
    for (let byteOffset = 0; byteOffset < buffer.byteLength; byteOffset += zeros.byteLength) {
      const byteLength = Math.min(zeros.byteLength, buffer.byteLength - byteOffset);
      this.backend.write({ buffer, byteOffset, dtype: "i8", layout: "plain", shape: [byteLength] }, zeros.subarray(0, byteLength));
    }
    return tensor;
  }

  floats(shape: readonly number[], valueAt: (index: number) => number): Tensor {
    const tensor = this.tensor("f32", shape);
    const values = Float32Array.from({ length: tensor.buffer.byteLength / 4 }, (_, index) => valueAt(index));
    this.backend.write(tensor, new Uint8Array(values.buffer));
    return tensor;
  }

  integers(values: readonly number[], shape: readonly number[] = [values.length]): Tensor {
    const tensor = this.tensor("i32", shape);
    this.backend.write(tensor, new Uint8Array(Int32Array.from(values).buffer));
    return tensor;
  }

  /** A matrix in the device's own layout. */
  async weight(dtype: DType, rows: number, columns: number): Promise<Tensor> {
    const { source, info } = createCalibrationWeight(dtype, rows, columns);
    const { traits } = this.backend;
    const buffer = this.#allocate("weights", traits.packedByteLength(info));
    const tensor: Tensor = { buffer, byteOffset: 0, dtype, layout: traits.weightLayout(info), shape: info.shape };
    using _staging = this.#reserve("staging", traits.loadStagingByteLength(info));
    await this.backend.load(source, info, tensor, this.signal === undefined ? {} : { signal: this.signal });
    return tensor;
  }

  /** What `matmul` of these sizes needs beside its operands. */
  workspace(dtype: DType, rows: number, columns: number): { readonly workspace?: Tensor } {
    const byteLength = this.backend.traits.workspaceByteLength({ op: "matmul", dtype, rows, columns });
    return byteLength === 0 ? {} : { workspace: this.tensor("i8", [byteLength]) };
  }

  /** Host memory that somebody else owns, as this device sees it. */
  importHost(memory: Uint8Array): DeviceBuffer {
    return this.#take("staging", memory.byteLength, (reservation) => this.backend.importHost(memory, reservation));
  }

  record(commands: (encoder: Encoder) => void): CommandList {
    const encoder = this.backend.createEncoder();
    commands(encoder);
    return this.#own(encoder.finish());
  }

  /** Seconds that the device was at work on the list. @throws DeviceFaultError, and the signal's reason where it is aborted. */
  async run(list: CommandList, bindings: Partial<StepBindings> = {}): Promise<number> {
    this.#step++;
    return (await runTogether([{ bench: this, list }], this.#step, bindings))[0]!.seconds;
  }

  /** Seconds of each of several runs, after one that is not counted. */
  async repeat(list: CommandList, { seconds, leastSamples = 3, mostSamples = 9 }: RepeatOptions): Promise<readonly number[]> {
    await this.run(list);
    const samples: number[] = [];
    const begin = performance.now();
    while (samples.length < mostSamples) {
      if (samples.length >= leastSamples && performance.now() - begin >= seconds * 1000) break;
      samples.push(await this.run(list));
    }
    return samples;
  }

  [Symbol.dispose](): void {
    for (const owned of this.#owned.splice(0).reverse()) owned[Symbol.dispose]();
  }

  #reserve(memoryClass: MemoryClass, byteLength: number) {
    const { id } = this.backend.device;
    return this.ledger.reserve([{ device: id, owner: "calibration", class: memoryClass, byteLength, label: "calibration" }])[0]!;
  }

  #allocate(memoryClass: MemoryClass, byteLength: number): DeviceBuffer {
    return this.#take(memoryClass, byteLength, (reservation) => this.backend.allocate(reservation));
  }

  #take(memoryClass: MemoryClass, byteLength: number, take: (reservation: MemoryReservation) => DeviceBuffer): DeviceBuffer {
    const reservation = this.#reserve(memoryClass, byteLength);
    try {
      return this.#own(take(reservation));
    } catch (error) {
      reservation[Symbol.dispose]();
      throw error;
    }
  }

  #own<Owned extends Disposable>(owned: Owned): Owned {
    this.#owned.push(owned);
    return owned;
  }
}

export interface TimedRun {
  readonly seconds: number;
  /** Begin and end of each stretch between waits and signals, in ms; absent where the backend traces none. */
  readonly stretches?: Float64Array;
}

/** Runs lists of several devices as one step, and waits for all of them. */
export async function runTogether(
  runs: readonly { readonly bench: DeviceBench; readonly list: CommandList }[],
  step: number,
  bindings: Partial<StepBindings> = {},
): Promise<readonly TimedRun[]> {
  const { signal } = runs[0]!.bench;
  signal?.throwIfAborted();
  const begin = performance.now();
  const all: StepBindings = { numTokens: 0, numSequences: 0, numOutputRows: 0, maxContextLength: 0, ...bindings, step };
  const submissions: Submission[] = [];
  const cancel = () => {
    for (const submission of submissions) submission.cancel();
  };
  const allSettled = () => Promise.allSettled(submissions.map(({ done }) => done));
  try {
    for (const { bench, list } of runs) submissions.push(bench.backend.submit(list, all, { trace: true }));
  } catch (error) {
    // Those that were submitted wait for signals that nobody gives now.
    cancel();
    await allSettled();
    throw error;
  }
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    // One that fails poisons what it owes, so that the others come to their ends too; memory may be given back only then.
    const settled = await allSettled();
    signal?.throwIfAborted();
    return settled.map((result) => {
      if (result.status === "rejected") throw result.reason;
      return timedRun(result.value, (performance.now() - begin) / 1000);
    });
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}

function timedRun({ outcome, stretches }: SubmissionReport, wallSeconds: number): TimedRun {
  assert(outcome === "completed", `a measurement was ${outcome}`);
  if (stretches === undefined) return { seconds: Math.max(wallSeconds, leastSeconds) };
  return { seconds: Math.max((stretches.at(-1)! - stretches[0]!) / 1000, leastSeconds), stretches };
}
