import {
  type Backend,
  createMemoryLedger,
  type DeviceBuffer,
  InsufficientMemoryError,
  InvalidTensorError,
  type MemoryLedger,
  type ModelSource,
  type StepBindings,
  type Tensor,
  type TensorInfo,
  type TensorSlice,
} from "@thermocline/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createReferenceBackend, referenceTraits } from "../src/reference/index.js";

const device = "reference:0";
const bindings: StepBindings = { step: 1, numTokens: 2, numSequences: 0, numOutputRows: 0, maxContextLength: 0 };

let ledger: MemoryLedger;
let backend: Backend;

beforeEach(() => {
  ledger = createMemoryLedger({ [device]: 64 << 20 });
  backend = createReferenceBackend();
});
afterEach(async () => {
  await backend[Symbol.asyncDispose]();
  expect(ledger.available(device)).toBe(64 << 20);
  expect(backend.statistics().allocatedBytes).toBe(0);
});

const reserve = (byteLength: number) =>
  ledger.reserve([{ device, owner: "test", class: "activations", byteLength, label: "test bytes" }])[0]!;
const floats = (buffer: DeviceBuffer, shape: Tensor["shape"], byteOffset = 0): Tensor => ({
  buffer,
  byteOffset,
  dtype: "f32",
  layout: "plain",
  shape,
});
const bytesOf = (values: readonly number[]) => new Uint8Array(Float32Array.from(values).buffer);

async function readFloats(tensor: Tensor): Promise<number[]> {
  const into = new Float32Array((tensor.shape as number[]).reduce((product, length) => product * length, 1));
  await backend.read(tensor, new Uint8Array(into.buffer));
  return [...into];
}

describe("memory", () => {
  it("is zero-filled, counted, and given back once", async () => {
    const buffer = backend.allocate(reserve(1024));
    expect(backend.statistics().allocatedBytes).toBe(1024);
    expect(new Set(await readFloats(floats(buffer, [256])))).toEqual(new Set([0]));
    buffer[Symbol.dispose]();
    buffer[Symbol.dispose]();
    expect(ledger.available(device)).toBe(64 << 20);
    expect(backend.statistics().allocatedBytes).toBe(0);
  });

  it("is not usable after it was disposed", async () => {
    const buffer = backend.allocate(reserve(64));
    const tensor = floats(buffer, [4]);
    buffer[Symbol.dispose]();
    expect(() => backend.write(tensor, bytesOf([1, 2, 3, 4]))).toThrow(/after it was disposed/);
    await expect(backend.read(tensor, new Uint8Array(16))).rejects.toThrow(/after it was disposed/);
  });

  it("that is imported is seen by both sides and outlives the buffer", async () => {
    const shared = new Uint8Array(new SharedArrayBuffer(64), 16, 32);
    const buffer = backend.importHost(shared, reserve(0));
    backend.write(floats(buffer, [2]), bytesOf([1.5, 2.5]));
    expect(new Float32Array(shared.buffer, 16, 2)).toEqual(Float32Array.of(1.5, 2.5));
    new Float32Array(shared.buffer, 16, 2)[1] = 7;
    expect(await readFloats(floats(buffer, [2]))).toEqual([1.5, 7]);
    expect(backend.statistics().allocatedBytes).toBe(0);
    buffer[Symbol.dispose]();
    expect(shared[0]).toBe(bytesOf([1.5])[0]);
  });

  it("that the engine refuses is an InsufficientMemoryError", () => {
    const huge = createMemoryLedger({ [device]: Number.MAX_SAFE_INTEGER });
    const [reservation] = huge.reserve([{ device, owner: "test", class: "weights", byteLength: 2 ** 50, label: "too much" }]);
    expect(() => backend.allocate(reservation!)).toThrow(InsufficientMemoryError);
    reservation![Symbol.dispose]();
  });

  it("reserved on another device is refused", () => {
    const other = createMemoryLedger({ "cpu:0": 64 });
    const [reservation] = other.reserve([{ device: "cpu:0", owner: "test", class: "weights", byteLength: 64, label: "elsewhere" }]);
    expect(() => backend.allocate(reservation!)).toThrow(/reserved on cpu:0/);
  });

  it("is written and read only where the tensor lies, whole and contiguous", async () => {
    const buffer = backend.allocate(reserve(64));
    expect(() => backend.write(floats(buffer, [4]), new Uint8Array(12))).toThrow(/takes 16 bytes, not 12/);
    expect(() => backend.write(floats(buffer, [4], 52), new Uint8Array(16))).toThrow(/its buffer has 64/);
    expect(() => backend.write({ ...floats(buffer, [2, 2]), rowStride: 3 }, new Uint8Array(20))).toThrow(/strided/);
    await expect(backend.read(floats(buffer, ["numTokens"]), new Uint8Array(8))).rejects.toThrow(/numTokens/);
  });
});

describe("submissions", () => {
  it("run in order, with new bindings at every replay, before a later read", async () => {
    const buffer = backend.allocate(reserve(64));
    const x = floats(buffer, ["numTokens", 1]);
    const encoder = backend.createEncoder();
    encoder.fill(x, 3);
    encoder.add(x, x, x);
    using list = encoder.finish();
    expect(list.length).toBe(2);
    backend.submit(list, bindings);
    backend.submit(list, { ...bindings, numTokens: 5 });
    expect(await readFloats(floats(buffer, [8]))).toEqual([6, 6, 6, 6, 6, 0, 0, 0]);
    expect(backend.statistics()).toMatchObject({ submissions: 2, crossings: 0 });
  });

  it("refuse tensors that leave their buffer with a DeviceFaultError", async () => {
    const buffer = backend.allocate(reserve(64));
    const encoder = backend.createEncoder();
    encoder.fill(floats(buffer, [4]), 1);
    encoder.fill(floats(buffer, ["numTokens", 4]), 2);
    using list = encoder.finish();
    const failed = backend.submit(list, { ...bindings, numTokens: 5 });
    await expect(failed.done).rejects.toMatchObject({ code: "device-fault", device, commandIndex: 1, op: "fill" });
    await expect(backend.submit(list, bindings).done).resolves.toEqual({ outcome: "completed" });
    expect((await readFloats(floats(buffer, [9]))).slice(7)).toEqual([2, 0]);
  });

  it("let the event loop live during a long product", async () => {
    const size = 1024;
    const buffer = backend.allocate(reserve(8 * size * size + 16 * size));
    const encoder = backend.createEncoder();
    const weight = floats(buffer, [size, size]);
    for (let layer = 0; layer < 8; layer++) encoder.matmul(floats(buffer, [4, size], 4 * size * size), floats(buffer, [4, size]), weight);
    using list = encoder.finish();
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await backend.submit(list, bindings).done;
    clearInterval(timer);
    expect(turns).toBeGreaterThan(1);
  });

  it("report stretches between waits and signals on the clock of process.hrtime", async () => {
    const counters = new Int32Array(new SharedArrayBuffer(128));
    const encoder = backend.createEncoder();
    const buffer = backend.allocate(reserve(64));
    encoder.fill(floats(buffer, [4]), 1);
    encoder.signal({ counters, slot: 0 });
    encoder.wait({ counters, slot: 0 });
    using list = encoder.finish();
    const before = Number(process.hrtime.bigint()) / 1e6;
    const { stretches } = await backend.submit(list, bindings, { trace: true }).done;
    const after = Number(process.hrtime.bigint()) / 1e6;
    expect(stretches).toHaveLength(6);
    const instants = [before, ...stretches!, after];
    expect(instants).toEqual(instants.toSorted((a, b) => a - b));
  });

  it("are not possible after disposal, which ends those that run", async () => {
    const counters = new Int32Array(new SharedArrayBuffer(128));
    const encoder = backend.createEncoder();
    encoder.wait({ counters, slot: 0 });
    encoder.signal({ counters, slot: 16 });
    const list = encoder.finish();
    const waiting = backend.submit(list, bindings);
    const queued = backend.submit(list, { ...bindings, step: 2 });
    await backend[Symbol.asyncDispose]();
    expect([await waiting.done, await queued.done]).toEqual([{ outcome: "cancelled" }, { outcome: "cancelled" }]);
    expect(counters[16]).toBe(-2);
    expect(() => backend.submit(list, bindings)).toThrow(/after it was disposed/);
    expect(() => backend.createEncoder()).toThrow(/after it was disposed/);
    await backend[Symbol.asyncDispose]();
  });
});

/** A tensor of f32 counts 0, 1, 2 …, whose reads are noted. */
function countingSource(shape: readonly number[]) {
  const numElements = shape.reduce((product, length) => product * length, 1);
  const bytes = new Uint8Array(Float32Array.from({ length: numElements }, (_, index) => index).buffer);
  const reads: number[] = [];
  const source: ModelSource = {
    metadata: new Map(),
    tensors: new Map(),
    shards: [{ kind: "blob", blob: new Blob([bytes]) }],
    async read(_shard, { offset, byteLength }, options) {
      options?.signal?.throwIfAborted();
      reads.push(byteLength);
      return bytes.slice(offset, offset + byteLength);
    },
    identity: "counts",
    async [Symbol.asyncDispose]() {},
  };
  const info: TensorInfo = { name: "counts", dtype: "f32", shape, shard: 0, range: { offset: 0, byteLength: bytes.length } };
  return { source, info, reads };
}

describe("load", () => {
  /** Loads into a new buffer and shows the f32 values. */
  async function load(info: TensorInfo, source: ModelSource, slices?: readonly TensorSlice[], shape: readonly number[] = info.shape) {
    const byteLength = referenceTraits.packedByteLength(info, slices);
    using buffer = backend.allocate(reserve(byteLength));
    const into: Tensor = { buffer, byteOffset: 0, dtype: info.dtype, layout: "packed", shape };
    await backend.load(source, info, into, slices === undefined ? {} : { slices });
    return await readFloats(floats(buffer, [byteLength / 4]));
  }

  it("keeps ranges of rows and of columns, of matrices and of stacks of them", async () => {
    const { source, info } = countingSource([3, 4, 5]);
    const slices: TensorSlice[] = [
      {
        axis: 0,
        ranges: [
          [0, 1],
          [2, 1],
        ],
      },
      { axis: 1, ranges: [[1, 2]] },
      {
        axis: 2,
        ranges: [
          [0, 1],
          [3, 2],
        ],
      },
    ];
    const expected = [5, 8, 9, 10, 13, 14, 45, 48, 49, 50, 53, 54];
    expect(await load(info, source, slices, [2, 2, 3])).toEqual(expected);
  });

  it("reads in pieces of about a MiB, skips long gaps and reports every byte", async () => {
    const { source, info, reads } = countingSource([4096, 512]);
    const slices: TensorSlice[] = [
      {
        axis: 0,
        ranges: [
          [0, 1000],
          [1010, 10],
          [3000, 1],
        ],
      },
    ];
    using buffer = backend.allocate(reserve(referenceTraits.packedByteLength(info, slices)));
    let reported = 0;
    const into: Tensor = { buffer, byteOffset: 0, dtype: "f32", layout: "packed", shape: [1011, 512] };
    await backend.load(source, info, into, { slices, onBytes: (byteLength) => (reported += byteLength) });
    expect(Math.max(...reads)).toBeLessThanOrEqual(1 << 20);
    expect(reported).toBe(reads.reduce((sum, byteLength) => sum + byteLength, 0));
    expect(reported).toBeLessThan(1100 * 2048);
    const values = await readFloats(floats(buffer, [1011 * 512]));
    expect([values[0], values[999 * 512 + 3], values[1000 * 512], values[1010 * 512 + 511]]).toEqual([
      0,
      999 * 512 + 3,
      1010 * 512,
      3000 * 512 + 511,
    ]);
  });

  it("refuses slices that cut a block, overlap or leave the tensor", async () => {
    const info: TensorInfo = { name: "w", dtype: "q4_0", shape: [4, 64], shard: 0, range: { offset: 0, byteLength: 4 * 36 } };
    const refused: TensorSlice[][] = [
      [{ axis: 1, ranges: [[0, 16]] }],
      [{ axis: 1, ranges: [[16, 32]] }],
      [{ axis: 0, ranges: [[0, 5]] }],
      [
        {
          axis: 0,
          ranges: [
            [2, 1],
            [0, 1],
          ],
        },
      ],
      [{ axis: 2, ranges: [[0, 1]] }],
      [
        { axis: 0, ranges: [[0, 1]] },
        { axis: 0, ranges: [[1, 1]] },
      ],
    ];
    const { source } = countingSource([1]);
    using buffer = backend.allocate(reserve(1024));
    const into: Tensor = { buffer, byteOffset: 0, dtype: "q4_0", layout: "packed", shape: [4, 64] };
    for (const slices of refused) {
      expect(() => referenceTraits.packedByteLength(info, slices)).toThrow(InvalidTensorError);
      await expect(backend.load(source, info, into, { slices })).rejects.toThrow(InvalidTensorError);
    }
  });

  it("refuses a shape that is not the sliced one, and a file with too few bytes", async () => {
    const { source, info } = countingSource([4, 8]);
    await expect(load(info, source, undefined, [8, 4])).rejects.toThrow(InvalidTensorError);
    await expect(load({ ...info, range: { offset: 0, byteLength: 100 } }, source)).rejects.toThrow(/expected 128 bytes/);
    await expect(load({ ...info, range: { offset: 64, byteLength: 128 } }, source)).rejects.toThrow(/the file has 64 bytes/);
  });

  it("stops between pieces when it is aborted or the backend is disposed", async () => {
    const { source, info, reads } = countingSource([4096, 512]);
    using buffer = backend.allocate(reserve(referenceTraits.packedByteLength(info)));
    const into: Tensor = { buffer, byteOffset: 0, dtype: "f32", layout: "packed", shape: info.shape };
    const controller = new AbortController();
    const aborted = backend.load(source, info, into, { signal: controller.signal, onBytes: () => controller.abort(new Error("enough")) });
    await expect(aborted).rejects.toThrow("enough");
    expect(reads).toHaveLength(1);
    const disposed = backend.load(source, info, into);
    const outcome = expect(disposed).rejects.toMatchObject({ name: "AbortError" });
    await backend[Symbol.asyncDispose]();
    await outcome;
  });
});
