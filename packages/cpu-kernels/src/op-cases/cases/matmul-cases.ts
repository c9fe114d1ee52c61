import { type DType, dtypes, type IndexRange, type TensorSlice } from "@thermocline/spec";
import { maxBatchSize } from "../batch-invariance.js";
import type { OpCase } from "../op-case.js";
import { Random } from "../random.js";
import { makeWeight, weightDTypes } from "../weight-data.js";
import { type ActivationKind, activationRow, exactProduct, makeActivations } from "./exact-product.js";
import { type RowProblem, rowCase, rowInvarianceCase } from "./row-case.js";

interface MatmulShape {
  readonly rows: number;
  readonly columns: number;
  readonly bias?: boolean;
  readonly slices?: readonly TensorSlice[];
  readonly activations: ActivationKind;
  /** A NaN in this row of x: its outputs are NaN, those of other rows are not. */
  readonly notANumberRow?: number;
}

function keptIndices(length: number, axis: number, slices: readonly TensorSlice[] = []): number[] {
  const slice = slices.find((candidate) => candidate.axis === axis);
  const ranges: readonly IndexRange[] = slice?.ranges ?? [[0, length]];
  return ranges.flatMap(([first, count]) => Array.from({ length: count }, (_, index) => first + index));
}

/** Rows and columns of `values` that the slices keep. */
function slicedRows(values: Float64Array, { rows, columns, slices }: MatmulShape): Float64Array[] {
  const keptColumns = keptIndices(columns, 1, slices);
  return keptIndices(rows, 0, slices).map((row) => Float64Array.from(keptColumns, (column) => values[row * columns + column]!));
}

function matmulProblem(dtype: DType, shape: MatmulShape): RowProblem {
  const random = new Random(shape.rows * 7919 + shape.columns);
  const data = makeWeight(random, dtype, [shape.rows, shape.columns]);
  const weight = shape.slices === undefined ? data : { ...data, slices: shape.slices };
  const rows = slicedRows(data.values, shape);
  const magnitudes = slicedRows(data.magnitudes, shape);
  const numColumns = rows.length;
  const innerSize = keptIndices(shape.columns, 1, shape.slices).length;
  const x = makeActivations(random, maxBatchSize, innerSize, shape.activations);
  if (shape.notANumberRow !== undefined) x[shape.notANumberRow * innerSize + 3] = Number.NaN;
  const bias = random.normals(numColumns);
  const expected = new Float64Array(maxBatchSize * numColumns);
  const tolerance = new Float64Array(expected.length);
  for (let t = 0; t < maxBatchSize; t++) {
    const row = activationRow(x.subarray(t * innerSize, (t + 1) * innerSize), dtype, shape.activations);
    for (let n = 0; n < numColumns; n++) {
      const weightRow = { values: rows[n]!, magnitudes: magnitudes[n]! };
      const at = t * numColumns + n;
      [expected[at], tolerance[at]] = exactProduct(row, weightRow, dtype, shape.bias ? bias[n]! : 0) as [number, number];
    }
  }
  return {
    inputs: { x },
    shared: { bias: { array: bias, shape: [numColumns] } },
    weights: { weight },
    numColumns,
    inputColumns: innerSize,
    expected,
    tolerance,
    workspaceFor: { rows: maxBatchSize, columns: innerSize },
    record: (encoder, { out, x: input, weight: matrix, bias: shifts, workspace }) =>
      encoder.matmul(out!, input!, matrix!, {
        ...(shape.bias ? { bias: shifts! } : {}),
        ...(workspace === undefined ? {} : { workspace }),
      }),
  };
}

/** Types with kernels of their own; the others differ from one another in how a block is read, and share what multiplies. */
const thoroughDTypes: readonly DType[] = ["f32", "f16", "q8_0", "q4_0", "q4_k"];

function casesOf(dtype: DType): OpCase[] {
  const { blockSize } = dtypes[dtype];
  /** At least `columns`, in whole blocks. */
  const whole = (columns: number) => Math.ceil(columns / blockSize) * blockSize;
  const title = ({ rows, columns, bias, activations, notANumberRow }: MatmulShape) =>
    `[T, ${columns}] · [${rows}, ${columns}], ${activations}${bias ? ", bias" : ""}${notANumberRow === undefined ? "" : ", a row with NaN"}`;
  const one = (shape: MatmulShape, layout: Parameters<typeof rowCase>[4] = {}) =>
    rowCase("matmul", dtype, title(shape), () => matmulProblem(dtype, shape), layout);
  const rowSlices: TensorSlice = {
    axis: 0,
    ranges: [
      [3, 5],
      [16, 17],
      [39, 1],
    ],
  };
  const columnSlices: TensorSlice = {
    axis: 1,
    ranges: [
      [0, blockSize],
      [3 * blockSize, 2 * blockSize],
    ],
  };
  const sliced = (name: string, slices: readonly TensorSlice[]) =>
    rowCase("matmul", dtype, `${name} of [40, ${6 * blockSize}]`, () =>
      matmulProblem(dtype, { rows: 40, columns: 6 * blockSize, slices, activations: "integers" }),
    );
  const invariant = rowInvarianceCase("matmul", dtype, "[T, 96 or a block] · [35, …]", () =>
    matmulProblem(dtype, { rows: 35, columns: whole(96), activations: "normal" }),
  );
  const common = [
    one({ rows: 5, columns: whole(33), activations: "integers" }),
    one({ rows: 33, columns: whole(100), activations: "normal", bias: true }),
    sliced("row and column ranges", [rowSlices, columnSlices]),
    invariant,
  ];
  if (!thoroughDTypes.includes(dtype)) return common;
  return [
    ...common,
    one({ rows: 1, columns: whole(1), activations: "normal" }),
    one({ rows: 16, columns: whole(64), activations: "normal" }),
    one({ rows: 33, columns: whole(100), activations: "integers", bias: true }),
    one({ rows: 20, columns: whole(64), activations: "normal", notANumberRow: 1 }),
    one({ rows: 0, columns: whole(64), activations: "normal" }),
    one({ rows: 40, columns: whole(96), activations: "integers" }, { rowGap: 16 }),
    one({ rows: 30, columns: whole(700), activations: "integers" }, { batches: [1, 17] }),
    sliced("row ranges", [rowSlices]),
    sliced("column ranges", [columnSlices]),
  ];
}

export const matmulCases: readonly OpCase[] = weightDTypes.flatMap(casesOf);
