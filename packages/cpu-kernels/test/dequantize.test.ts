import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type DType, dtypes, type ModelSource, type Tensor, type TensorInfo, type WeightLayout } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { type CpuIsa, createCpuBackend } from "../src/index.js";
import { expectSameBits } from "../src/op-cases/comparison.js";
import { canDequantize, dequantizeRows } from "../src/reference/index.js";
import { allocate, bindings, hasAddon, isas, ledgerFor, plain, randomSource, readFloats, record } from "./native-fixture.js";

const repositoryRoot = fileURLToPath(new URL("../../..", import.meta.url));
const blocksFolder = path.resolve(repositoryRoot, "../shared/data/dequant");
const hasBlocks = existsSync(blocksFolder);
if (!hasBlocks) console.warn(`dequantisation against ggml's figures is not tested: ${blocksFolder} is not there`);

/** Blocks of one type and their values, from llama.cpp's own reference. */
function readBlocks(file: string): { readonly dtype: DType; readonly bytes: Uint8Array; readonly values: Float32Array } {
  const { dtype, raw, expectedF32 } = JSON.parse(readFileSync(path.join(blocksFolder, file), "utf8")) as Record<string, string>;
  const values = new Float32Array(new Uint8Array(Buffer.from(expectedF32!, "base64")).buffer);
  return { dtype: dtype as DType, bytes: new Uint8Array(Buffer.from(raw!, "base64")), values };
}

const integers = new Set<DType>(["i8", "i16", "i32", "i64", "f64"]);

/** A word a value; every NaN counts as one. */
function wordsOf(values: Float32Array): Int32Array {
  const words = new Int32Array(values.buffer, values.byteOffset, values.length).slice();
  for (let i = 0; i < words.length; i++) if (Number.isNaN(values[i])) words[i] = 0x7fc00000;
  return words;
}

const expectSameFloats = (actual: Float32Array, wanted: Float32Array) => expectSameBits("word", wordsOf(actual), wordsOf(wanted));

const files = hasBlocks ? readdirSync(blocksFolder).filter((file) => file.endsWith(".json")) : [];

describe.runIf(hasBlocks)("dequantizeRows", () => {
  it.each(files)("gives ggml's floats bit for bit: %s", (file) => {
    const { dtype, bytes, values } = readBlocks(file);
    const actual = new Float32Array(values.length);
    dequantizeRows(dtype, bytes, actual);
    expectSameFloats(actual, values);
  });
});

describe("the set of types", () => {
  it("is every type but integers and f64", () => {
    for (const dtype of Object.keys(dtypes) as DType[]) expect(canDequantize(dtype), dtype).toBe(!integers.has(dtype));
  });

  it.each((Object.keys(dtypes) as DType[]).filter(canDequantize))("%s decodes blocks independently of what lies beside them", (dtype) => {
    const { blockSize, blockBytes } = dtypes[dtype];
    const bytes = Uint8Array.from({ length: 3 * blockBytes }, (_, i) => (i * 89 + 41) & 255);
    const whole = new Float32Array(3 * blockSize);
    dequantizeRows(dtype, bytes, whole);
    const middle = new Float32Array(blockSize);
    dequantizeRows(dtype, bytes.slice(blockBytes, 2 * blockBytes), middle);
    expectSameFloats(whole.subarray(blockSize, 2 * blockSize), middle);
  });

  it("reads q8_1 and q8_k, whose sums do not count", () => {
    const q81 = new Uint8Array(36).fill(3);
    q81.set([0x00, 0x38, 0xff, 0xff]);
    q81[4] = 0x80;
    const out = new Float32Array(32);
    dequantizeRows("q8_1", q81, out);
    expect([...out.slice(0, 3)]).toEqual([-64, 1.5, 1.5]);
    const q8k = new Uint8Array(292).fill(2);
    q8k.set(new Uint8Array(Float32Array.of(0.25).buffer));
    const outK = new Float32Array(256);
    dequantizeRows("q8_k", q8k, outK);
    expect(new Set(outK)).toEqual(new Set([0.5]));
  });

  it("refuses bytes that do not match the output", () => {
    expect(() => dequantizeRows("q4_0", new Uint8Array(17), new Float32Array(32))).toThrow(/17 bytes/);
    expect(() => dequantizeRows("i32", new Uint8Array(4), new Float32Array(1))).toThrow(/holds no weights/);
  });
});

function blobSource(bytes: Uint8Array): ModelSource {
  return {
    metadata: new Map(),
    tensors: new Map(),
    shards: [{ kind: "blob", blob: new Blob([]) }],
    identity: "blocks",
    read: async (_shard, { offset, byteLength }) => bytes.slice(offset, offset + byteLength),
    [Symbol.asyncDispose]: async () => {},
  };
}

describe.runIf(hasAddon)("an embedding on the CPU backend", () => {
  /** The rows of a table [numRows, columns], packed or as the file has them, looked up in reverse. */
  async function embed(isa: CpuIsa, dtype: DType, bytes: Uint8Array, numRows: number, layout: WeightLayout): Promise<Float32Array> {
    await using backend = createCpuBackend({ threads: 2, isa });
    const ledger = ledgerFor("cpu:0");
    const { blockSize, blockBytes } = dtypes[dtype];
    const columns = (bytes.length / numRows / blockBytes) * blockSize;
    const info: TensorInfo = { name: "table", dtype, shape: [numRows, columns], shard: 0, range: { offset: 0, byteLength: bytes.length } };
    const byteLength = layout === "packed" ? backend.traits.packedByteLength(info) : bytes.length;
    const table: Tensor = { ...plain(allocate(ledger, backend, byteLength), [numRows, columns], dtype), layout };
    if (layout === "packed") await backend.load(blobSource(bytes), info, table);
    else backend.write(table, bytes);
    const ids = plain(allocate(ledger, backend, 4 * numRows), [numRows], "i32");
    backend.write(ids, new Uint8Array(Int32Array.from({ length: numRows }, (_, row) => numRows - 1 - row).buffer));
    const out = plain(allocate(ledger, backend, 4 * numRows * columns), [numRows, columns]);
    const list = record(backend, (encoder) => encoder.embed(out, table, ids));
    await backend.submit(list, bindings()).done;
    return await readFloats(backend, out);
  }

  function reverseRows(values: Float32Array, numRows: number): Float32Array {
    const columns = values.length / numRows;
    return Float32Array.from(values, (_, i) => values[(numRows - 1 - Math.floor(i / columns)) * columns + (i % columns)]!);
  }

  for (const isa of isas as readonly CpuIsa[]) {
    it.runIf(hasBlocks).each(files)(`gives ggml's floats bit for bit on ${isa}: %s`, async (file) => {
      const { dtype, bytes, values } = readBlocks(file);
      for (const [numRows, layout] of [[12, "packed"], [4, "packed"], [3, "plain"]] as const) // biome-ignore format: pairs
        expectSameFloats(await embed(isa, dtype, bytes, numRows, layout), reverseRows(values, numRows));
    });

    it.each((Object.keys(dtypes) as DType[]).filter(canDequantize))(
      `agrees with the reference on any bytes on ${isa}: %s`,
      async (dtype) => {
        const numRows = 37;
        const { blockSize, blockBytes } = dtypes[dtype];
        const numBlocks = blockSize === 1 ? 3 * 64 : 3;
        const random = randomSource(dtypes[dtype].ggmlType + 1);
        const bytes = Uint8Array.from({ length: numRows * numBlocks * blockBytes }, () => random() >>> 13);
        const values = new Float32Array(numRows * numBlocks * blockSize);
        dequantizeRows(dtype, bytes, values);
        expectSameFloats(await embed(isa, dtype, bytes, numRows, "packed"), reverseRows(values, numRows));
      },
    );
  }
});
