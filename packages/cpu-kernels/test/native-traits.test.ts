import { byteLengthOf, type DType, dtypes, InvalidTensorError, type TensorInfo, type TensorSlice } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { loadCpuBinding } from "../src/index.js";
import { canDequantize } from "../src/reference/index.js";
import { createCpuTraits } from "../src/traits.js";
import { hasAddon } from "./native-fixture.js";

/** All types but integers and f64. */
const weightDTypes = (Object.keys(dtypes) as DType[]).filter(canDequantize);
const traits = createCpuTraits({ threads: 2 });

const tensorInfo = (dtype: DType, shape: readonly number[]): TensorInfo => ({
  name: "blk.0.ffn_up.weight",
  dtype,
  shape,
  shard: 0,
  range: {
    offset: 0,
    byteLength: byteLengthOf(
      dtype,
      shape.reduce((product, length) => product * length, 1),
    ),
  },
});

const rows = (...ranges: [number, number][]): TensorSlice => ({ axis: 0, ranges });
const columns = (...ranges: [number, number][]): TensorSlice => ({ axis: 1, ranges });

describe("the CPU backend's traits", () => {
  it.runIf(hasAddon)("size packed matrices as the addon does, whatever the shape and the slices", () => {
    const { packedByteLength } = loadCpuBinding();
    let numCompared = 0;
    for (const dtype of weightDTypes) {
      const { blockSize, ggmlType } = dtypes[dtype];
      for (const numRows of [0, 1, 2, 15, 16, 17, 31, 32, 33, 100, 4096, 32_003])
        for (const numBlocks of [0, 1, 2, 3, 7, 64, 352]) {
          const info = tensorInfo(dtype, [numRows, numBlocks * blockSize]);
          expect(traits.packedByteLength(info)).toBe(packedByteLength(ggmlType, numRows, numBlocks * blockSize));
          const experts = tensorInfo(dtype, [3, numRows, numBlocks * blockSize]);
          expect(traits.packedByteLength(experts)).toBe(3 * packedByteLength(ggmlType, numRows, numBlocks * blockSize)!);
          numCompared++;
          if (numRows < 17 || numBlocks < 7) continue;
          const ranges = [columns([blockSize, 2 * blockSize], [5 * blockSize, blockSize]).ranges, rows([1, 5], [7, 9]).ranges] as const;
          const sliced = packedByteLength(ggmlType, 14, 3 * blockSize)!;
          expect(
            traits.packedByteLength(info, [
              { axis: 0, ranges: ranges[1] },
              { axis: 1, ranges: ranges[0] },
            ]),
          ).toBe(sliced);
          const slices = [
            { axis: 0, ranges: [[1, 2]] as [number, number][] },
            { axis: 1, ranges: ranges[1] },
            { axis: 2, ranges: ranges[0] },
          ];
          expect(traits.packedByteLength(experts, slices)).toBe(2 * sliced);
        }
    }
    expect(numCompared).toBe(28 * 12 * 7);
    expect(packedByteLength(dtypes.i32.ggmlType, 16, 256)).toBeUndefined();
  });

  it("store vectors and integers as the file has them", () => {
    expect(traits.weightLayout(tensorInfo("f32", [100]))).toBe("plain");
    expect(traits.packedByteLength(tensorInfo("f32", [100]))).toBe(400);
    expect(traits.packedByteLength(tensorInfo("f32", [100]), [rows([10, 20], [50, 1])])).toBe(84);
    expect(traits.weightLayout(tensorInfo("i32", [16, 256]))).toBe("plain");
    expect(traits.packedByteLength(tensorInfo("i32", [15, 256]))).toBe(15 * 1024);
    for (const dtype of weightDTypes) {
      expect(traits.weightLayout(tensorInfo(dtype, [16, 256]))).toBe("packed");
      expect(traits.weightLayout(tensorInfo(dtype, [2, 16, 256]))).toBe("packed");
    }
  });

  it("refuse slices that cut a quantisation block or leave the tensor", () => {
    const info = tensorInfo("q8_0", [20, 128]);
    for (const slice of [columns([16, 32]), columns([0, 33]), columns([96, 64]), rows([19, 2]), rows([5, 2], [6, 2]), rows([-1, 2])])
      expect(() => traits.packedByteLength(info, [slice])).toThrow(InvalidTensorError);
    expect(traits.packedByteLength(info, [columns([96, 32]), rows([19, 1])])).toBe(544);
    expect(() => traits.packedByteLength({ ...info, shape: [16, 40] })).toThrow(InvalidTensorError);
  });

  it("ask for workspace where activations are quantised and where tokens are sampled", () => {
    const size = { rows: 8, columns: 4096 };
    expect(traits.workspaceByteLength({ op: "matmul", dtype: "q4_0", ...size })).toBe(((8 * 4096) / 32) * 40);
    expect(traits.workspaceByteLength({ op: "matmul", dtype: "q4_k", ...size })).toBe(((8 * 4096) / 32) * 40);
    // The halves of a block meet different scales: a sum for each.
    expect(traits.workspaceByteLength({ op: "matmul", dtype: "q6_k", ...size })).toBe(((8 * 4096) / 32) * 44);
    for (const dtype of ["f32", "f16", "bf16"] as const) expect(traits.workspaceByteLength({ op: "matmul", dtype, ...size })).toBe(0);
    const experts = 60;
    expect(traits.workspaceByteLength({ op: "expertMatmul", dtype: "q4_0", ...size, experts })).toBe(
      60 * 24 + 8 * 4 + ((8 * 4096) / 32) * 40,
    );
    expect(traits.workspaceByteLength({ op: "expertMatmul", dtype: "f16", ...size, experts })).toBe(60 * 24 + 8 * 4);
    expect(traits.workspaceByteLength({ op: "sample", dtype: "f32", ...size })).toBe(2 * 4096 * 8);
    expect(traits.workspaceByteLength({ op: "rmsNorm", dtype: "f32", ...size })).toBe(0);
  });

  it("tell which types each op has kernels for", () => {
    for (const op of ["embed", "matmul", "expertMatmul"] as const)
      for (const dtype of Object.keys(dtypes) as DType[]) expect(traits.supports(op, dtype)).toBe(weightDTypes.includes(dtype));
    expect(traits.kvDTypes.every((dtype) => traits.supports("attention", dtype) && traits.supports("storeKv", dtype))).toBe(true);
    expect(traits.kvDTypes).toEqual(["f16", "f32", "q8_0", "q4_0"]);
    for (const op of ["attention", "storeKv"] as const) expect(traits.supports(op, "q4_1")).toBe(false);
    expect(traits.supports("rmsNorm", "f16")).toBe(false);
  });
});
