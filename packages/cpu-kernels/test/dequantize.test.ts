import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type DType, dtypes } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { canDequantize, dequantizeRows } from "../src/reference/index.js";

const repositoryRoot = fileURLToPath(new URL("../../..", import.meta.url));
const blocksFolder = path.resolve(repositoryRoot, "../shared/data/dequant");
const hasBlocks = existsSync(blocksFolder);
if (!hasBlocks) console.warn(`dequantisation against ggml's figures is not tested: ${blocksFolder} is not there`);

const integers = new Set<DType>(["i8", "i16", "i32", "i64", "f64"]);

/** A word a value; every NaN counts as one. */
function wordsOf(values: Float32Array): Uint32Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length).slice();
  for (let i = 0; i < words.length; i++) if (Number.isNaN(values[i])) words[i] = 0x7fc00000;
  return words;
}

describe.runIf(hasBlocks)("dequantizeRows", () => {
  const files = hasBlocks ? readdirSync(blocksFolder).filter((file) => file.endsWith(".json")) : [];

  it.each(files)("gives ggml's floats bit for bit: %s", (file) => {
    const { dtype, raw, expectedF32 } = JSON.parse(readFileSync(path.join(blocksFolder, file), "utf8")) as Record<string, string>;
    const bytes = new Uint8Array(Buffer.from(raw!, "base64"));
    const expected = new Float32Array(new Uint8Array(Buffer.from(expectedF32!, "base64")).buffer);
    const actual = new Float32Array(expected.length);
    dequantizeRows(dtype as DType, bytes, actual);
    expect(wordsOf(actual)).toEqual(wordsOf(expected));
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
    expect(wordsOf(whole.subarray(blockSize, 2 * blockSize))).toEqual(wordsOf(middle));
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
