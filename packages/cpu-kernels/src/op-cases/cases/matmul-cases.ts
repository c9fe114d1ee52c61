import { type DType, dtypes, type IndexRange, type TensorSlice } from "@thermocline/spec";
import { maxBatchSize } from "../batch-invariance.js";
import { gamma, unitRoundoff } from "../error-bounds.js";
import type { OpCase } from "../op-case.js";
import { Random } from "../random.js";
import { makeWeight, weightDTypes } from "../weight-data.js";
import { type RowProblem, rowCase, rowInvarianceCase } from "./row-case.js";

interface MatmulShape {
  readonly rows: number;
  readonly columns: number;
  readonly bias?: boolean;
  readonly slices?: readonly TensorSlice[];
  /** normal: a backend that quantises activations to 8 bits errs visibly. integers: it does not, see below. */
  readonly activations: "normal" | "integers";
  /** A NaN in this row of x: its outputs are NaN, those of other rows are not. */
  readonly notANumberRow?: number;
}

const activationBlock = 32;

/**
 * "integers": whole numbers from -127 to 127 with a 127 in every block of 32. The block's scale absmax / 127 is 1, so that rounding to
 * 8 bits changes nothing, and f32 rounding alone remains: the sharper of the two tests.
 */
function makeActivations(random: Random, columns: number, kind: MatmulShape["activations"]): Float32Array {
  const x = random.normals(maxBatchSize * columns);
  if (kind === "normal") {
    x.fill(0, 0, Math.min(columns, activationBlock));
    return x;
  }
  return x.map((_, index) => ((index % columns) % activationBlock === 5 ? (index % 2 === 0 ? 127 : -127) : random.integer(-127, 127)));
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

/**
 * Off from the exact sum by at most
 * - f32 rounding: γ(K + 4) · (Σ|x||w| + |bias|), for K products and sums in any order, two scales, a conversion and the bias; of a type with
 *   blocks γ(K + 12): w itself may have been rounded four times, and a kernel rounds its scales as often; |w| then counts both parts of a
 *   weight with a minimum;
 * - where the weight's type has blocks, 8-bit activations: each x of a block of 32 moves by half a step, absmax / 127 / 2, and by the f32
 *   rounding of x / step, at most 127 · 4u steps: Σ over blocks of step · (½ + 508u) · Σ|w|.
 */
function matmulProblem(dtype: DType, shape: MatmulShape): RowProblem {
  const random = new Random(shape.rows * 7919 + shape.columns);
  const data = makeWeight(random, dtype, [shape.rows, shape.columns]);
  const weight = shape.slices === undefined ? data : { ...data, slices: shape.slices };
  const rows = slicedRows(data.values, shape);
  const magnitudes = slicedRows(data.magnitudes, shape);
  const numColumns = rows.length;
  const innerSize = keptIndices(shape.columns, 1, shape.slices).length;
  const x = makeActivations(random, innerSize, shape.activations);
  if (shape.notANumberRow !== undefined) x[shape.notANumberRow * innerSize + 3] = Number.NaN;
  const bias = random.normals(numColumns);
  const expected = new Float64Array(maxBatchSize * numColumns);
  const tolerance = new Float64Array(expected.length);
  const hasBlocks = dtypes[dtype].blockSize > 1;
  const numRoundings = innerSize + (hasBlocks ? 12 : 4);
  for (let t = 0; t < maxBatchSize; t++) {
    const row = x.subarray(t * innerSize, (t + 1) * innerSize);
    const halfSteps = halfStepsOf(row, hasBlocks && shape.activations === "normal");
    for (let n = 0; n < numColumns; n++) {
      let sum = shape.bias ? bias[n]! : 0;
      let magnitude = Math.abs(sum);
      let moved = 0;
      for (let k = 0; k < innerSize; k++) {
        const w = rows[n]![k]!;
        sum += row[k]! * w;
        magnitude += Math.abs(row[k]!) * magnitudes[n]![k]!;
        moved += halfSteps[Math.floor(k / activationBlock)]! * Math.abs(w);
      }
      expected[t * numColumns + n] = sum;
      tolerance[t * numColumns + n] = moved + gamma(numRoundings) * (magnitude + moved);
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

/** For each block of 32 how far quantisation moves one of its values at most. */
function halfStepsOf(row: Float32Array, quantised: boolean): Float64Array {
  return Float64Array.from({ length: Math.ceil(row.length / activationBlock) }, (_, block) => {
    const values = row.subarray(block * activationBlock, (block + 1) * activationBlock);
    const largest = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    return quantised ? (largest / 127) * (0.5 + 508 * unitRoundoff) : 0;
  });
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
    one({ rows: 100, columns: whole(1000), activations: "integers" }, { batches: [1, 17] }),
    sliced("row ranges", [rowSlices]),
    sliced("column ranges", [columnSlices]),
  ];
}

export const matmulCases: readonly OpCase[] = weightDTypes.flatMap(casesOf);
