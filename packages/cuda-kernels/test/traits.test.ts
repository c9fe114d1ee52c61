import { byteLengthOf, type DType, dtypes, InvalidTensorError, opNames, type TensorInfo, type TensorSlice } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { cudaTraits } from "../src/traits.js";

const tensor = (dtype: DType, shape: readonly number[]): TensorInfo => ({
  name: "w",
  dtype,
  shape,
  shard: 0,
  range: {
    offset: 0,
    byteLength: byteLengthOf(
      dtype,
      shape.reduce((a, b) => a * b, 1),
    ),
  },
});
const weightDTypes = (Object.keys(dtypes) as DType[]).filter((dtype) => !["f64", "i8", "i16", "i32", "i64"].includes(dtype));

describe("cudaTraits", () => {
  it("keeps the file's bytes where rows are whole vector loads, as those of real models are", () => {
    for (const dtype of weightDTypes) {
      const info = tensor(dtype, [128, 4096]);
      expect([dtype, cudaTraits.packedByteLength(info)]).toEqual([dtype, info.range.byteLength]);
      expect(cudaTraits.weightLayout(info)).toBe("packed");
    }
  });

  it("pads rows of other lengths to 16 bytes, and vectors not at all", () => {
    // 9 blocks of 34 bytes are 306, and 320 with padding.
    expect(cudaTraits.packedByteLength(tensor("q8_0", [5, 288]))).toBe(5 * 320);
    expect(cudaTraits.packedByteLength(tensor("q4_0", [3, 5, 288]))).toBe(15 * 176);
    expect(cudaTraits.packedByteLength(tensor("f32", [3]))).toBe(12);
    expect(cudaTraits.packedByteLength(tensor("f32", [3]), [{ axis: 0, ranges: [[1, 1]] }])).toBe(4);
  });

  it("stages two pieces of at most 4 MiB, or two rows, and of a small tensor all of it", () => {
    expect(cudaTraits.loadStagingByteLength(tensor("f16", [4096, 4096]))).toBe(8 * 2 ** 20);
    expect(cudaTraits.loadStagingByteLength(tensor("f16", [64, 4096]))).toBe(64 * 8192);
    expect(cudaTraits.loadStagingByteLength(tensor("f16", [64, 4096]), [{ axis: 0, ranges: [[8, 8]] }])).toBe(8 * 8192);
    expect(cudaTraits.loadStagingByteLength(tensor("f32", [5, 2 ** 21]))).toBe(2 * 2 ** 23);
    expect(cudaTraits.loadStagingByteLength(tensor("f32", [7]))).toBe(28);
  });

  it("counts rows and neurons that slices keep", () => {
    const info = tensor("q4_k", [512, 1024]);
    expect(
      cudaTraits.packedByteLength(info, [
        {
          axis: 0,
          ranges: [
            [0, 3],
            [10, 5],
          ],
        },
      ]),
    ).toBe(8 * 4 * 144);
    expect(cudaTraits.packedByteLength(info, [{ axis: 1, ranges: [[256, 512]] }])).toBe(512 * 2 * 144);
    const halves = [
      [0, 200],
      [200, 312],
    ] as const;
    const sum = halves.reduce((all, range) => all + cudaTraits.packedByteLength(info, [{ axis: 0, ranges: [range] }]), 0);
    expect(sum).toBe(cudaTraits.packedByteLength(info));
  });

  it.each<[string, readonly TensorSlice[]]>([
    ["a cut block", [{ axis: 1, ranges: [[128, 256]] }]],
    ["a slice past the end", [{ axis: 0, ranges: [[500, 13]] }]],
    [
      "ranges that overlap",
      [
        {
          axis: 0,
          ranges: [
            [0, 5],
            [4, 5],
          ],
        },
      ],
    ],
    [
      "an axis twice",
      [
        { axis: 0, ranges: [[0, 5]] },
        { axis: 0, ranges: [[0, 5]] },
      ],
    ],
    ["an axis that is not there", [{ axis: 2, ranges: [[0, 5]] }]],
  ])("refuses %s", (_, slices) => {
    const info = tensor("q4_k", [512, 1024]);
    expect(() => cudaTraits.packedByteLength(info, slices)).toThrow(InvalidTensorError);
  });

  it("supports every type that holds weights, four types of cache, and every other op in f32", () => {
    for (const dtype of weightDTypes) expect([dtype, cudaTraits.supports("matmul", dtype)]).toEqual([dtype, true]);
    expect(cudaTraits.supports("matmul", "i32")).toBe(false);
    expect((Object.keys(dtypes) as DType[]).filter((dtype) => cudaTraits.supports("attention", dtype)).sort()).toEqual(
      [...cudaTraits.kvDTypes].sort(),
    );
    for (const op of opNames) expect([op, cudaTraits.supports(op, "f32")]).toEqual([op, true]);
  });

  it("asks for workspace of quantised activations alone", () => {
    expect(cudaTraits.workspaceByteLength({ op: "matmul", dtype: "f16", rows: 8, columns: 4096 })).toBe(0);
    expect(cudaTraits.workspaceByteLength({ op: "matmul", dtype: "q4_0", rows: 8, columns: 4096 })).toBe(8 * 128 * 40);
    expect(cudaTraits.workspaceByteLength({ op: "rmsNorm", dtype: "f32", rows: 8, columns: 4096 })).toBe(0);
  });
});
