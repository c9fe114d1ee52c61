/** The frame of ops that compute each row of `out` from the same row of their inputs. */
import type { BindingName, DType, Encoder, OpName, Tensor } from "@thermocline/spec";
import { batchSizes, blank, invarianceSteps, maxBatchSize, pickRows } from "../batch-invariance.js";
import { expectClose } from "../comparison.js";
import type { OpCase, OpPlan, OpStep, PlainArrays, WeightPlan } from "../op-case.js";

export interface RowProblem {
  /** Row-wise inputs, `maxBatchSize` rows each, contiguous. */
  readonly inputs: Readonly<Record<string, Float32Array>>;
  /** Inputs that all rows share. */
  readonly shared?: Readonly<Record<string, { readonly array: Float32Array; readonly shape: readonly number[] }>>;
  readonly weights?: Readonly<Record<string, WeightPlan>>;
  readonly numColumns: number;
  /** Columns of each input where they differ from `numColumns`. */
  readonly inputColumns?: number;
  /** Axes of a row of the inputs and of `out` where it has more than one: [numHeads, headDim] of `numColumns` elements. */
  readonly rowShape?: readonly number[];
  /** Exact results and how far f32 may be from them, for `maxBatchSize` rows. */
  readonly expected: Float64Array;
  readonly tolerance: Float64Array;
  readonly workspaceFor?: { readonly rows: number; readonly columns: number };
  readonly record: (encoder: Encoder, tensors: Readonly<Record<string, Tensor>>) => void;
}

export interface RowLayout {
  /** This input and `out` are one tensor. */
  readonly inPlace?: string;
  /** Elements between rows beyond the columns: gaps that nobody may write. */
  readonly rowGap?: number;
  readonly batches?: readonly number[];
}

const rows: BindingName = "numTokens";

function spread(array: Float32Array, columns: number, stride: number): Float32Array {
  const numRows = columns === 0 ? 0 : array.length / columns;
  const result = blank(numRows * stride);
  for (let row = 0; row < numRows; row++) result.set(array.subarray(row * columns, (row + 1) * columns), row * stride);
  return result;
}

function rowPlan(problem: RowProblem, layout: RowLayout, steps: (parts: RowParts) => readonly OpStep[]): OpPlan {
  const { inPlace, rowGap = 0 } = layout;
  const inputColumns = problem.inputColumns ?? problem.numColumns;
  const inputStride = inputColumns + rowGap;
  const outStride = problem.numColumns + rowGap;
  const outArray = inPlace ?? "out";
  const arrays: Record<string, Float32Array> = { out: blank(inPlace === undefined ? maxBatchSize * outStride : 0) };
  const views: Record<string, OpPlan["views"][string]> = {};
  for (const name of Object.keys(problem.inputs)) {
    arrays[name] = blank(maxBatchSize * inputStride);
    views[name] = {
      array: name,
      shape: [rows, ...(problem.rowShape ?? [inputColumns])],
      ...(rowGap > 0 ? { rowStride: inputStride } : {}),
    };
  }
  for (const [name, { array, shape }] of Object.entries(problem.shared ?? {})) {
    arrays[name] = array;
    views[name] = { array: name, shape };
  }
  views.out = {
    array: outArray,
    shape: [rows, ...(problem.rowShape ?? [problem.numColumns])],
    ...(rowGap > 0 ? { rowStride: outStride } : {}),
  };
  const writeRows = (chosen: readonly number[]): PlainArrays =>
    Object.fromEntries(
      Object.entries(problem.inputs).map(([name, array]) => [
        name,
        spread(pickRows(array, inputColumns, chosen), inputColumns, inputStride),
      ]),
    );
  return {
    arrays,
    views,
    outputs: [outArray],
    ...(problem.weights === undefined ? {} : { weights: problem.weights }),
    ...(problem.workspaceFor === undefined ? {} : { workspaceFor: problem.workspaceFor }),
    record: problem.record,
    steps: steps({ writeRows, outArray, outStride }),
  };
}

interface RowParts {
  readonly writeRows: (chosen: readonly number[]) => PlainArrays;
  readonly outArray: string;
  readonly outStride: number;
}

function correctnessSteps(problem: RowProblem, layout: RowLayout, { writeRows, outArray, outStride }: RowParts): OpStep[] {
  const { numColumns, expected, tolerance } = problem;
  return (layout.batches ?? batchSizes).map((size) => {
    const chosen = Array.from({ length: size }, (_, row) => row);
    const wanted = new Float64Array(maxBatchSize * outStride).fill(Number.NaN);
    const allowed = new Float64Array(maxBatchSize * outStride);
    for (const row of chosen) {
      wanted.set(expected.subarray(row * numColumns, (row + 1) * numColumns), row * outStride);
      allowed.set(tolerance.subarray(row * numColumns, (row + 1) * numColumns), row * outStride);
    }
    return {
      bindings: { numTokens: size },
      write: writeRows(chosen),
      check: (outputs) => expectClose("out", outputs[outArray]!, wanted, allowed),
    };
  });
}

function rowInvarianceSteps(problem: RowProblem, { writeRows, outArray, outStride }: RowParts): OpStep[] {
  return invarianceSteps(
    maxBatchSize,
    (chosen) => ({ bindings: { numTokens: chosen.length }, write: writeRows(chosen) }),
    (outputs, place) => [outputs[outArray]!.subarray(place * outStride, place * outStride + problem.numColumns)],
  );
}

/** Correct at every batch size, in one layout. */
export function rowCase(op: OpName, dtype: DType, title: string, makeProblem: () => RowProblem, layout: RowLayout = {}): OpCase {
  const suffix = `${layout.inPlace === undefined ? "" : ", in place"}${layout.rowGap ? ", strided rows" : ""}`;
  return {
    name: `${op} ${dtype} ${title}${suffix}`,
    op,
    dtype,
    plan() {
      const problem = makeProblem();
      return rowPlan(problem, layout, (parts) => correctnessSteps(problem, layout, parts));
    },
  };
}

/** The same bits for a row whatever else is in the batch. */
export function rowInvarianceCase(op: OpName, dtype: DType, title: string, makeProblem: () => RowProblem): OpCase {
  return {
    name: `${op} ${dtype} ${title}, batch-invariant`,
    op,
    dtype,
    plan() {
      const problem = makeProblem();
      return rowPlan(problem, {}, (parts) => rowInvarianceSteps(problem, parts));
    },
  };
}
