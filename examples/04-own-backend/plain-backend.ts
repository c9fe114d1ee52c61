/** A device that is this JavaScript thread, with four ops in f32. */
import {
  type Backend,
  type BackendTraits,
  byteLengthOf,
  type Command,
  CommandEncoder,
  type CommandList,
  DeviceFaultError,
  type DeviceId,
  type DeviceInfo,
  type IndexRange,
  InvalidTensorError,
  type LoadOptions,
  type MemoryReservation,
  type ModelSource,
  type StepBindings,
  type Submission,
  type SubmissionOutcome,
  type SubmissionReport,
  type SubmitOptions,
  type Tensor,
  type TensorInfo,
  type TensorSlice,
} from "@thermocline/spec";
import { kernels, supports } from "./plain-kernels.js";
import { floatsOf, PlainBuffer, rowsOf } from "./plain-memory.js";
import { give, poison, waitFor } from "./plain-signals.js";

/** The indices of one axis that the slices choose. */
function chosen(info: TensorInfo, axis: number, slices: readonly TensorSlice[]): number[] {
  const all: IndexRange[] = [[0, info.shape[axis] ?? 1]];
  const ranges = slices.find((slice) => slice.axis === axis)?.ranges ?? all;
  return ranges.flatMap(([first, count]) => Array.from({ length: count }, (_, index) => first + index));
}

const traits: BackendTraits = {
  kind: "plain",
  alignment: 64,
  kvDTypes: ["f32"],
  readsHostMemory: true,
  weightLayout: () => "plain",
  packedByteLength: (info, slices = []) =>
    byteLengthOf(
      info.dtype,
      info.shape.reduce((product, _, axis) => product * chosen(info, axis, slices).length, 1),
    ),
  // The whole tensor, and a copy that is aligned.
  loadStagingByteLength: ({ range }) => 2 * range.byteLength,
  supports,
  workspaceByteLength: () => 0,
};

interface PlainCommandList extends Disposable {
  readonly device: DeviceId;
  readonly length: number;
  readonly byteLength: number;
  readonly commands: readonly Command[];
}

class PlainEncoder extends CommandEncoder {
  readonly #commands: Command[] = [];

  protected override emit(command: Command): void {
    this.#commands.push(command);
  }

  protected override finishList(): CommandList {
    const commands = this.#commands;
    const list: PlainCommandList = { device: this.device, length: commands.length, byteLength: 0, commands, [Symbol.dispose]() {} };
    return list as unknown as CommandList;
  }
}

export class PlainBackend implements Backend {
  readonly device: DeviceInfo;
  readonly traits = traits;
  readonly #buffers = new Set<PlainBuffer>();
  #tail: Promise<unknown> = Promise.resolve();
  #submissions = 0;
  #disposed = false;

  constructor(id: DeviceId) {
    this.device = { id, kind: "cpu", name: "Plain loops", totalBytes: 2 ** 30 };
  }

  allocate(reservation: MemoryReservation): PlainBuffer {
    const buffer = this.importHost(new Uint8Array(reservation.byteLength), reservation);
    this.#buffers.add(buffer);
    return buffer;
  }

  importHost(memory: Uint8Array, reservation: MemoryReservation): PlainBuffer {
    return new PlainBuffer(this.device.id, reservation, memory);
  }

  async load(source: ModelSource, info: TensorInfo, into: Tensor, { slices = [], signal, onBytes }: LoadOptions = {}): Promise<void> {
    if (info.dtype !== "f32" || info.shape.length > 2) throw new InvalidTensorError(info.name, "f32, a vector or a matrix", info.dtype);
    const bytes = await source.read(info.shard, info.range, { signal });
    onBytes?.(bytes.byteLength);
    const values = floatsOf(bytes.slice());
    const isMatrix = info.shape.length === 2;
    const rows = isMatrix ? chosen(info, 0, slices) : [0];
    const columns = chosen(info, isMatrix ? 1 : 0, slices);
    const width = info.shape.at(-1)!;
    rowsOf(into).forEach((row, r) => {
      floatsOf(row).set(columns.map((column) => values[rows[r]! * width + column]!));
    });
  }

  write(into: Tensor, bytes: Uint8Array): void {
    let offset = 0;
    for (const row of rowsOf(into)) {
      row.set(bytes.subarray(offset, offset + row.byteLength));
      offset += row.byteLength;
    }
  }

  async read(from: Tensor, into: Uint8Array): Promise<void> {
    await this.#tail;
    let offset = 0;
    for (const row of rowsOf(from)) {
      into.set(row, offset);
      offset += row.byteLength;
    }
  }

  createEncoder(): CommandEncoder {
    return new PlainEncoder(this.device.id, supports);
  }

  /** Lists run one after the other. */
  submit(commands: CommandList, bindings: StepBindings, options: SubmitOptions = {}): Submission {
    this.#submissions++;
    let cancelled = false;
    const isCancelled = () => cancelled || this.#disposed;
    const list = (commands as unknown as PlainCommandList).commands;
    const done = this.#tail.then(() => this.#run(list, { ...bindings }, options, isCancelled));
    this.#tail = done.catch(() => {});
    const cancel = () => {
      cancelled = true;
    };
    return { done, cancel };
  }

  statistics() {
    const allocatedBytes = [...this.#buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
    return { submissions: this.#submissions, crossings: 0, allocatedBytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    await this.#tail;
    for (const buffer of this.#buffers) buffer[Symbol.dispose]();
  }

  async #run(
    commands: readonly Command[],
    bindings: StepBindings,
    { trace, faultAtCommand }: SubmitOptions,
    isCancelled: () => boolean,
  ): Promise<SubmissionReport> {
    const nowMs = () => Number(process.hrtime.bigint()) / 1e6;
    const stretches = [nowMs()];
    let outcome: SubmissionOutcome | undefined;
    let index = 0;
    try {
      for (; index < commands.length; index++) {
        const command = commands[index]!;
        if (isCancelled()) outcome = "cancelled";
        if (outcome !== undefined) break;
        if (index === faultAtCommand) throw new Error("the submission asked for this fault");
        if (command.op === "wait" || command.op === "signal") {
          stretches.push(nowMs());
          if (command.op === "signal") give(command.signal, bindings.step);
          else outcome = await waitFor(command.signal, bindings.step, isCancelled);
          stretches.push(nowMs());
        } else {
          const kernel = kernels[command.op as keyof typeof kernels] as (command: Command, rows: (tensor: Tensor) => Uint8Array[]) => void;
          kernel(command, (tensor) => rowsOf(tensor, bindings));
        }
      }
    } catch (error) {
      throw new DeviceFaultError(this.device.id, index, commands[index]!.op, (error as Error).message);
    } finally {
      // Whoever waits for what this list will not reach must not wait for ever.
      for (const command of commands.slice(index)) if (command.op === "signal") poison(command.signal, bindings.step);
    }
    return { outcome: outcome ?? "completed", ...(trace ? { stretches: Float64Array.from([...stretches, nowMs()]) } : {}) };
  }
}
