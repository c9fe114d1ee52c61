import { describe, expect, it } from "vitest";
import { byteLengthOf, type DType, dtypeOfGgmlType, dtypes } from "../src/index.js";

describe("dtypes", () => {
  it("are found again by ggml's numbers, and withdrawn numbers name none", () => {
    for (const [name, { ggmlType }] of Object.entries(dtypes)) expect(dtypeOfGgmlType(ggmlType)).toBe(name);
    for (const withdrawn of [4, 5, 31, 32, 33, 36, 37, 38, 41, -1]) expect(dtypeOfGgmlType(withdrawn)).toBeUndefined();
  });

  it.each<[DType, number, number]>([
    ["f32", 7, 28],
    ["q4_0", 64, 36],
    ["q8_0", 32, 34],
    ["q6_k", 512, 420],
    ["nvfp4", 64, 36],
    ["q4_k", 0, 0],
  ])("%s: %i elements take %i bytes", (dtype, numElements, byteLength) => {
    expect(byteLengthOf(dtype, numElements)).toBe(byteLength);
  });

  it("have no length for a part of a block", () => {
    expect(() => byteLengthOf("q4_0", 33)).toThrow(RangeError);
    expect(() => byteLengthOf("q4_k", 128)).toThrow(/whole number of q4_k blocks of 256/);
  });
});
