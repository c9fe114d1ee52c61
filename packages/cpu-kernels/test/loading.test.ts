import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Backend,
  byteLengthOf,
  type DType,
  dtypes,
  FileAccessError,
  InvalidTensorError,
  type LoadOptions,
  type ModelSource,
  type ShardLocation,
  type Tensor,
  type TensorInfo,
  type TensorSlice,
} from "@thermocline/spec";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCpuBackend } from "../src/index.js";
import { expectSameBits } from "../src/op-cases/comparison.js";
import { createReferenceBackend, dequantizeRows } from "../src/reference/index.js";
import { allocate, bindings, hasAddon, ledgerFor, plain, randomSource, readFloats, record } from "./native-fixture.js";

const fileOffset = 77;
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "thermocline-loading-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

const numElements = (shape: readonly number[]) => shape.reduce((product, length) => product * length, 1);

function tensorInfo(dtype: DType, shape: readonly number[]): TensorInfo {
  return {
    name: "blk.0.ffn_down.weight",
    dtype,
    shape,
    shard: 0,
    range: { offset: fileOffset, byteLength: byteLengthOf(dtype, numElements(shape)) },
  };
}

/** A source over one shard; `read` serves the shards that a backend cannot read itself. */
function sourceOf(shard: ShardLocation, bytes: Uint8Array): ModelSource {
  return {
    metadata: new Map(),
    tensors: new Map(),
    shards: [shard],
    identity: "test",
    read: async (_shard, { offset, byteLength }) => bytes.slice(offset, offset + byteLength),
    [Symbol.asyncDispose]: async () => {},
  };
}

/** Random blocks of a weight: f16 scales stay finite and small, quants are any bytes. */
function randomWeight({ dtype, shape, range }: TensorInfo, seed: number): Uint8Array {
  const random = randomSource(seed);
  const bytes = new Uint8Array(fileOffset + range.byteLength);
  const view = new DataView(bytes.buffer);
  if (dtype === "f32") {
    for (let index = 0; index < numElements(shape); index++) view.setFloat32(fileOffset + 4 * index, index, true);
    return bytes;
  }
  for (let index = fileOffset; index < bytes.length; index++) bytes[index] = random();
  const { blockBytes } = dtypes[dtype];
  for (let block = fileOffset; block < bytes.length; block += blockBytes) view.setUint16(block, 0x2000 + (random() % 0x1000), true);
  return bytes;
}

/** The elements that a packed weight holds, row by row, by looking every row up. */
async function rowsOf(backend: Backend, table: Tensor, ledger: ReturnType<typeof ledgerFor>): Promise<Float32Array> {
  const [numRows, numColumns] = table.shape as [number, number];
  const ids = plain(allocate(ledger, backend, 4 * numRows), [numRows], "i32");
  backend.write(ids, new Uint8Array(Int32Array.from({ length: numRows }, (_, row) => row).buffer));
  const out = plain(allocate(ledger, backend, 4 * numRows * numColumns), [numRows, numColumns]);
  const list = record(backend, (encoder) => encoder.embed(out, table, ids));
  await backend.submit(list, bindings()).done;
  return readFloats(backend, out);
}

/** Element values from the file's bytes, as the reference reads them. */
function elementsOf({ dtype, shape }: TensorInfo, bytes: Uint8Array): Float32Array {
  const values = new Float32Array(numElements(shape));
  dequantizeRows(dtype, bytes.subarray(fileOffset), values);
  return values;
}

function select(elements: Float32Array, numColumns: number, slices: readonly TensorSlice[]): Float32Array {
  const indices = (axis: number, length: number) => {
    const slice = slices.find((candidate) => candidate.axis === axis);
    const ranges = slice?.ranges ?? [[0, length] as const];
    return ranges.flatMap(([first, count]) => Array.from({ length: count }, (_, index) => first + index));
  };
  const keptColumns = indices(1, numColumns);
  return Float32Array.from(
    indices(0, elements.length / numColumns).flatMap((row) => keptColumns.map((column) => elements[row * numColumns + column]!)),
  );
}

async function loadRows(backend: Backend, shardKind: "path" | "blob", info: TensorInfo, options: LoadOptions = {}) {
  const ledger = ledgerFor("cpu:0");
  const bytes = randomWeight(info, 5);
  const path = join(directory, "model weights.gguf");
  writeFileSync(path, bytes);
  const source = sourceOf(shardKind === "path" ? { kind: "path", path } : { kind: "blob", blob: new Blob([]) }, bytes);
  const shape = [0, 1].map(
    (axis) => options.slices?.find((slice) => slice.axis === axis)?.ranges.reduce((sum, [, n]) => sum + n, 0) ?? info.shape[axis]!,
  );
  const buffer = allocate(ledger, backend, backend.traits.packedByteLength(info, options.slices));
  const into: Tensor = { buffer, byteOffset: 0, dtype: info.dtype, layout: "packed", shape };
  let fileBytes = 0;
  await backend.load(source, info, into, {
    ...options,
    onBytes: (byteLength) => {
      fileBytes += byteLength;
    },
  });
  const elements = elementsOf(info, bytes);
  const wanted = options.slices === undefined ? elements : select(elements, info.shape[1]!, options.slices);
  return { loaded: await rowsOf(backend, into, ledger), wanted, fileBytes };
}

describe.runIf(hasAddon).each(["path", "blob"] as const)("loading a weight from a %s", (kind) => {
  it.each(["f32", "q8_0", "q4_0"] as const)("stores every element of a %s matrix, in one piece or many", async (dtype) => {
    await using backend = createCpuBackend({ threads: 2 });
    // The last one is longer than a piece of either kind, and no whole number of groups.
    const manyRows = { f32: 2100, q8_0: 4200, q4_0: 7500 }[dtype];
    for (const shape of [
      [1, 32],
      [17, 64],
      [manyRows, 1024],
    ]) {
      const info = tensorInfo(dtype, shape);
      const { loaded, wanted, fileBytes } = await loadRows(backend, kind, info);
      expectSameBits("element", loaded, wanted);
      expect(fileBytes).toBe(info.range.byteLength);
    }
  });

  it.each(["f32", "q8_0", "q4_0"] as const)("stores slices of the rows and columns of a %s matrix", async (dtype) => {
    await using backend = createCpuBackend({ threads: 2 });
    const info = tensorInfo(dtype, [100, 256]);
    const rows: TensorSlice = { axis: 0, ranges: [[3, 1], [10, 40], [50, 2], [99, 1]] }; // biome-ignore format: pairs
    const columns: TensorSlice = { axis: 1, ranges: [[32, 32], [128, 96]] }; // biome-ignore format: pairs
    for (const slices of [[rows], [columns], [columns, rows]]) {
      const { loaded, wanted } = await loadRows(backend, kind, info, { slices });
      expectSameBits("element", loaded, wanted);
    }
  });

  it.each([
    // Matrices of whole groups; of a row more, so that each is padded; larger than a piece of either kind.
    ["q8_0", [3, 32, 64]],
    ["iq4_xs", [4, 17, 256]],
    ["f32", [5, 601, 1024]],
  ] as const)("packs each matrix of a list by itself: %s [%s]", async (dtype, shape) => {
    await using backend = createCpuBackend({ threads: 2 });
    const info = tensorInfo(dtype, shape);
    const bytes = randomWeight(info, 9);
    const path = join(directory, "experts.gguf");
    writeFileSync(path, bytes);
    const source = sourceOf(kind === "path" ? { kind, path } : { kind: "blob", blob: new Blob([]) }, bytes);
    const [, numRows, numColumns] = shape;
    const values = elementsOf(info, bytes);
    const ledger = ledgerFor("cpu:0");
    const wholeExperts: TensorSlice = { axis: 0, ranges: [[0, 1], [2, 1]] }; // biome-ignore format: pairs
    const partOfRows: TensorSlice = { axis: 1, ranges: [[1, 3], [6, 11]] }; // biome-ignore format: pairs
    for (const slices of [[], [wholeExperts], [wholeExperts, partOfRows]] as const) {
      const experts = slices.length > 0 ? [0, 2] : Array.from({ length: shape[0] }, (_, expert) => expert);
      const rows = slices.length > 1 ? [1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16] : Array.from({ length: numRows }, (_, row) => row);
      const byteLength = backend.traits.packedByteLength(info, slices);
      const buffer = allocate(ledger, backend, byteLength);
      await backend.load(
        source,
        info,
        { buffer, byteOffset: 0, dtype, layout: "packed", shape: [experts.length, rows.length, numColumns] },
        { slices },
      );
      for (const [slot, expert] of experts.entries()) {
        const matrix: Tensor = {
          buffer,
          byteOffset: (byteLength / experts.length) * slot,
          dtype,
          layout: "packed",
          shape: [rows.length, numColumns],
        };
        const wanted = rows.map((row) => values.subarray((expert * numRows + row) * numColumns, (expert * numRows + row + 1) * numColumns));
        expect(
          Buffer.compare(
            Buffer.from((await rowsOf(backend, matrix, ledger)).buffer),
            Buffer.concat(wanted.map((row) => new Uint8Array(row.buffer, row.byteOffset, row.byteLength))),
          ),
        ).toBe(0);
      }
    }
  });

  it("refuses a slice that cuts a quantisation block, before it reads anything", async () => {
    await using backend = createCpuBackend({ threads: 1 });
    const info = tensorInfo("q4_0", [16, 64]);
    const into: Tensor = { ...plain(allocate(ledgerFor("cpu:0"), backend, 288), [16, 48], "q4_0"), layout: "packed" };
    const source = sourceOf({ kind: "path", path: join(directory, "not there") }, new Uint8Array());
    await expect(backend.load(source, info, into, { slices: [{ axis: 1, ranges: [[0, 48]] }] })).rejects.toThrow(InvalidTensorError);
  });

  it("stops when it is aborted, with the reason", async () => {
    await using backend = createCpuBackend({ threads: 1 });
    const reason = new Error("changed my mind");
    const info = tensorInfo("f32", [8192, 1024]);
    const bytes = new Uint8Array(fileOffset + info.range.byteLength);
    const path = join(directory, "zeros.gguf");
    writeFileSync(path, bytes);
    const source = sourceOf(kind === "path" ? { kind, path } : { kind: "blob", blob: new Blob([]) }, bytes);
    const buffer = allocate(ledgerFor("cpu:0"), backend, info.range.byteLength);
    const into: Tensor = { ...plain(buffer, info.shape), layout: "packed" };
    await expect(backend.load(source, info, into, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    // The last of several that are served in turn cannot have ended yet.
    const loads = [1, 2, 3, 4].map(() => backend.load(source, info, into, { signal: controller.signal }));
    controller.abort(reason);
    expect((await Promise.allSettled(loads)).at(-1)).toEqual({ status: "rejected", reason });
  });

  it("refuses rows that are too long to be read a group at a time, before it reads anything", async () => {
    await using backend = createCpuBackend({ threads: 1 });
    const buffer = allocate(ledgerFor("cpu:0"), backend, 64);
    const path = join(directory, "not there either");
    const source = sourceOf(kind === "path" ? { kind, path } : { kind: "blob", blob: new Blob([]) }, new Uint8Array());
    for (const [shape, layout, limit] of [
      [[16, 2 ** 26], "packed", 2 ** 22],
      [[20, 2 ** 20 + 1], "packed", 2 ** 22],
      [[2 ** 24 + 1], "plain", 2 ** 26],
    ] as const) {
      const error = await backend
        .load(source, tensorInfo("f32", shape), { ...plain(buffer, shape), layout })
        .catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(InvalidTensorError);
      expect((error as InvalidTensorError).actual).toBe(`rows of ${shape.at(-1)} elements in f32, ${4 * shape.at(-1)!} bytes`);
      expect((error as InvalidTensorError).expected).toContain(`at most ${limit} bytes`);
    }
  });

  it("refuses bytes that end too early, and a tensor whose bytes do not fit its shape", async () => {
    await using backend = createCpuBackend({ threads: 1 });
    const ledger = ledgerFor("cpu:0");
    const info = tensorInfo("f32", [32, 32]);
    const bytes = randomWeight(info, 1).subarray(0, 1000);
    const path = join(directory, "cut.gguf");
    writeFileSync(path, bytes);
    const source = sourceOf(kind === "path" ? { kind, path } : { kind: "blob", blob: new Blob([]) }, bytes);
    const into: Tensor = { ...plain(allocate(ledger, backend, 4096), [32, 32]), layout: "packed" };
    await expect(backend.load(source, info, into)).rejects.toThrow(InvalidTensorError);
    const odd = { ...info, range: { offset: fileOffset, byteLength: 4000 } };
    await expect(backend.load(source, odd, into)).rejects.toThrow(/4096 bytes/);
    await expect(backend.load(source, info, { ...into, shape: [16, 32] })).rejects.toThrow(InvalidTensorError);
  });
});

describe.runIf(hasAddon)("loading through a source", () => {
  // Three pieces of 4 MiB.
  const info = tensorInfo("f32", [3072, 1024]);

  interface PendingRead {
    readonly signal: AbortSignal;
    /** Calls into the addon when this read was requested. */
    readonly crossings: number;
    resolve(): void;
    reject(reason: Error): void;
  }

  function startLoad(backend: Backend, options: LoadOptions = {}) {
    const reads: PendingRead[] = [];
    const source: ModelSource = {
      ...sourceOf({ kind: "blob", blob: new Blob([]) }, new Uint8Array()),
      read: (_shard, { byteLength }, { signal } = {}) =>
        new Promise((resolve, reject) => {
          const { crossings } = backend.statistics();
          reads.push({ signal: signal!, crossings, resolve: () => resolve(new Uint8Array(byteLength)), reject });
        }),
    };
    const buffer = allocate(ledgerFor("cpu:0"), backend, info.range.byteLength);
    const load = backend.load(source, info, { ...plain(buffer, info.shape), layout: "packed" }, options);
    return { reads, buffer, load };
  }

  const turn = () => new Promise((resolve) => setImmediate(resolve));

  it("requests a piece before it packs the one before, and no more than that", async () => {
    await using backend = createCpuBackend({ threads: 1 });
    const { reads, load } = startLoad(backend);
    for (let piece = 0; piece < 3; piece++) {
      await turn();
      expect(reads).toHaveLength(piece + 1);
      reads[piece]!.resolve();
    }
    await load;
    expect(reads).toHaveLength(3);
    expect(reads.map(({ crossings }) => crossings - reads[0]!.crossings)).toEqual([0, 0, 1]);
  });

  it("holds no more file bytes at once than its traits say, which for more than two pieces is just what it holds", async () => {
    const tall = tensorInfo("q4_0", [5000, 4096]);
    const wide = tensorInfo("f32", [50, 2 ** 17]);
    const shapes = [tall, wide, tensorInfo("f16", [7, 64]), tensorInfo("f32", [100])];
    const halves: readonly TensorSlice[] = [
      {
        axis: 0,
        ranges: [
          [0, 11],
          [20, 13],
        ],
      },
    ];
    for (const native of [true, false]) {
      await using backend = native ? createCpuBackend({ threads: 1 }) : createReferenceBackend();
      for (const [info, slices] of [...shapes.map((shape) => [shape, []] as const), [wide, halves] as const]) {
        const lengths: number[] = [];
        const source: ModelSource = {
          ...sourceOf({ kind: "blob", blob: new Blob([]) }, new Uint8Array()),
          async read(_shard, { byteLength }) {
            lengths.push(byteLength);
            return new Uint8Array(byteLength);
          },
        };
        const layout = backend.traits.weightLayout(info);
        const shape = info.shape.map((size, axis) => (axis === 0 && slices.length > 0 ? 24 : size));
        using buffer = allocate(ledgerFor(backend.device.id), backend, backend.traits.packedByteLength(info, slices));
        await backend.load(source, info, { ...plain(buffer, shape, info.dtype), layout }, { slices });
        // The addon packs one piece while the next is read.
        const held = native ? lengths.map((length, index) => length + (lengths[index + 1] ?? 0)) : lengths;
        const staging = backend.traits.loadStagingByteLength(info, slices);
        expect(Math.max(...held)).toBeLessThanOrEqual(staging);
        if (slices.length === 0 && lengths.length > 2) expect(Math.max(...held)).toBe(staging);
        expect(staging).toBeLessThanOrEqual(backend.traits.loadStagingByteLength(info));
        expect(staging).toBeLessThanOrEqual(info.range.byteLength);
      }
    }
  });

  it("fails with the error of the read that failed", async () => {
    await using backend = createCpuBackend({ threads: 1 });
    const { reads, load } = startLoad(backend);
    await turn();
    reads[0]!.resolve();
    await turn();
    const reason = new Error("connection lost");
    reads[1]!.reject(reason);
    await expect(load).rejects.toBe(reason);
    expect(reads).toHaveLength(2);
  });

  it("hands an abort to the read that is under way, and requests nothing more", async () => {
    await using backend = createCpuBackend({ threads: 1 });
    const controller = new AbortController();
    const { reads, load } = startLoad(backend, { signal: controller.signal });
    await turn();
    reads[0]!.resolve();
    await turn();
    const reason = new Error("changed my mind");
    controller.abort(reason);
    expect(reads[1]!.signal.reason).toBe(reason);
    reads[1]!.resolve();
    await expect(load).rejects.toBe(reason);
    expect(reads).toHaveLength(2);
  });

  it("lets no read outlive it where packing fails", async () => {
    await using backend = createCpuBackend({ threads: 1 });
    const { reads, buffer, load } = startLoad(backend);
    let ended = false;
    const outcome = load.then(
      () => "loaded",
      () => "failed",
    );
    outcome.then(() => {
      ended = true;
    });
    await turn();
    buffer[Symbol.dispose]();
    reads[0]!.resolve();
    await turn();
    expect(reads[1]!.signal.aborted).toBe(true);
    expect(ended).toBe(false);
    reads[1]!.reject(new Error("aborted"));
    expect(await outcome).toBe("failed");
    expect(reads).toHaveLength(2);
  });
});

describe.runIf(hasAddon)("loading from files", () => {
  const info = tensorInfo("f32", [16, 64]);
  const target = (backend: Backend): Tensor => ({ ...plain(allocate(ledgerFor("cpu:0"), backend, 4096), [16, 64]), layout: "packed" });

  it("names a file that is missing, and a folder", async () => {
    await using backend = createCpuBackend({ threads: 1 });
    const path = join(directory, "missing.gguf");
    const missing = backend.load(sourceOf({ kind: "path", path }, new Uint8Array()), info, target(backend));
    await expect(missing).rejects.toThrow(FileAccessError);
    await expect(missing).rejects.toThrow(/missing\.gguf: cannot be opened \(ENOENT/);
    const folder = backend.load(sourceOf({ kind: "path", path: directory }, new Uint8Array()), info, target(backend));
    await expect(folder).rejects.toThrow(/is no regular file/);
  });

  it("survives a file that is cut while it is read", async () => {
    await using backend = createCpuBackend({ threads: 1 });
    const large = tensorInfo("f32", [16_384, 1024]);
    const path = join(directory, "shrinking.gguf");
    const ledger = ledgerFor("cpu:0");
    const into: Tensor = { ...plain(allocate(ledger, backend, large.range.byteLength), [16_384, 1024]), layout: "packed" };
    let error: unknown;
    // A load that was through before the cut says nothing; the next one meets it somewhere else.
    for (let attempt = 0; attempt < 20 && error === undefined; attempt++) {
      writeFileSync(path, "");
      truncateSync(path, fileOffset + large.range.byteLength);
      const load = backend.load(sourceOf({ kind: "path", path }, new Uint8Array()), large, into);
      truncateSync(path, 5000);
      error = await load.catch((reason: unknown) => reason);
    }
    expect(error).toBeInstanceOf(InvalidTensorError);
    expect((error as InvalidTensorError).actual).toBe("5000 bytes");
  });

  it("stores vectors as the file has them, whole and sliced", async () => {
    await using backend = createCpuBackend({ threads: 1 });
    const vector = tensorInfo("f32", [100]);
    const path = join(directory, "vector.gguf");
    writeFileSync(path, randomWeight(vector, 1));
    const source = sourceOf({ kind: "path", path }, new Uint8Array());
    const buffer = allocate(ledgerFor("cpu:0"), backend, 512);
    await backend.load(source, vector, plain(buffer, [100]));
    expect([...(await readFloats(backend, plain(buffer, [3], "f32", 97 * 4)))]).toEqual([97, 98, 99]);
    const slices = [{ axis: 0, ranges: [[5, 2], [90, 1]] }] as const; // biome-ignore format: pairs
    await backend.load(source, vector, plain(buffer, [3], "f32", 64), { slices });
    expect([...(await readFloats(backend, plain(buffer, [3], "f32", 64)))]).toEqual([5, 6, 90]);
  });

  it("ends with the backend: what is queued is rejected, and the ledger is empty", async () => {
    const backend = createCpuBackend({ threads: 1 });
    const large = tensorInfo("f32", [8192, 1024]);
    const path = join(directory, "large.gguf");
    writeFileSync(path, new Uint8Array(fileOffset + large.range.byteLength));
    const ledger = ledgerFor("cpu:0");
    const into: Tensor = { ...plain(allocate(ledger, backend, large.range.byteLength), [8192, 1024]), layout: "packed" };
    const source = sourceOf({ kind: "path", path }, new Uint8Array());
    const loads = [1, 2, 3, 4].map(() => backend.load(source, large, into).catch((error: unknown) => error));
    await backend[Symbol.asyncDispose]();
    expect((await Promise.all(loads)).at(-1)).toMatchObject({ name: "AbortError" });
    expect(ledger.report()).toEqual([]);
    expect(backend.statistics().allocatedBytes).toBe(0);
  });
});
