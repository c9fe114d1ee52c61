import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Backend,
  byteLengthOf,
  type DType,
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
  const blockBytes = dtype === "q8_0" ? 34 : 18;
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

/** Element values from the file's bytes: q · scale in f32. */
function elementsOf({ dtype, shape }: TensorInfo, bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset + fileOffset);
  const f16 = (bits: number) => (1 + (bits & 0x3ff) / 1024) * 2 ** ((bits >> 10) - 15);
  return Float32Array.from({ length: numElements(shape) }, (_, index) => {
    if (dtype === "f32") return view.getFloat32(4 * index, true);
    const block = Math.floor(index / 32) * (dtype === "q8_0" ? 34 : 18);
    const scale = f16(view.getUint16(block, true));
    const inBlock = index % 32;
    if (dtype === "q8_0") return scale * view.getInt8(block + 2 + inBlock);
    const byte = view.getUint8(block + 2 + (inBlock % 16));
    return scale * ((inBlock < 16 ? byte & 15 : byte >> 4) - 8);
  });
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
    // The last one is longer than a piece: in f32 than both kinds of pieces, else than those of a blob.
    for (const shape of [
      [1, 32],
      [17, 64],
      [2100, 1024],
    ]) {
      const info = tensorInfo(dtype, shape);
      const { loaded, wanted, fileBytes } = await loadRows(backend, kind, info);
      expect(Buffer.compare(Buffer.from(loaded.buffer), Buffer.from(wanted.buffer))).toBe(0);
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
      expect(loaded).toEqual(wanted);
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
