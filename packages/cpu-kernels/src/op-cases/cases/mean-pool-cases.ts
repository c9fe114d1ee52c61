import { blank, maxBatchSize } from "../batch-invariance.js";
import { bytesOf, expectClose, expectSameBits } from "../comparison.js";
import { gamma } from "../error-bounds.js";
import type { OpCase, OpPlan, OpStep } from "../op-case.js";
import { Random } from "../random.js";

/** Rows of each sequence, some without any: `maxBatchSize` together. */
const rowCounts = [5, 0, 1, 17, 0, 3, 7, 0];

/** Where the sequences begin, and where the last one ends. */
function startsOf(counts: readonly number[]): number[] {
  const starts = [0];
  for (const count of counts) starts.push(starts.at(-1)! + count);
  return starts;
}

/** The mean of n rows: n - 1 sums and a quotient, or a product with a rounded reciprocal, γ(n + 1) · Σ|x| / n. */
function poolPlan(numColumns: number, stepsOf: (parts: PoolParts) => readonly OpStep[]): OpPlan {
  const x = new Random(numColumns).normals(maxBatchSize * numColumns);
  const numSequences = rowCounts.length;
  return {
    arrays: { out: blank(numSequences * numColumns), x, queryStarts: new Int32Array(numSequences + 3).fill(-1) },
    outputs: ["out"],
    views: {
      out: { array: "out", shape: ["numSequences", numColumns] },
      x: { array: "x", shape: ["numTokens", numColumns] },
      queryStarts: { array: "queryStarts", shape: [numSequences + 3] },
    },
    record: (encoder, { out, x: rows, queryStarts }) => encoder.meanPool(out!, rows!, queryStarts!),
    steps: stepsOf({ x, numColumns }),
  };
}

interface PoolParts {
  readonly x: Float32Array;
  readonly numColumns: number;
}

function poolStep({ x, numColumns }: PoolParts, counts: readonly number[]): OpStep {
  const starts = startsOf(counts);
  const wanted = new Float64Array(rowCounts.length * numColumns).fill(Number.NaN);
  const tolerance = new Float64Array(wanted.length);
  for (const [sequence, count] of counts.entries())
    for (let column = 0; column < numColumns; column++) {
      const values = Array.from({ length: count }, (_, row) => x[(starts[sequence]! + row) * numColumns + column]!);
      const share = count === 0 ? 0 : 1 / count;
      wanted[sequence * numColumns + column] = values.reduce((sum, value) => sum + value, 0) * share;
      tolerance[sequence * numColumns + column] = gamma(count + 1) * values.reduce((sum, value) => sum + Math.abs(value), 0) * share;
    }
  return {
    bindings: { numTokens: starts.at(-1)!, numSequences: counts.length },
    write: { queryStarts: Int32Array.from(starts) },
    check: (outputs) => expectClose("out", outputs.out!, wanted, tolerance),
  };
}

const correctSteps = (parts: PoolParts): OpStep[] => [
  poolStep(parts, rowCounts),
  poolStep(parts, [maxBatchSize]),
  poolStep(parts, [1]),
  poolStep(parts, [0]),
  poolStep(parts, []),
];

/** Each sequence alone, its rows moved to the front, against all of them together. */
function invariantSteps(parts: PoolParts): OpStep[] {
  const { x, numColumns } = parts;
  const starts = startsOf(rowCounts);
  const alone: Uint8Array[] = [];
  const singles = rowCounts.map(
    (count, sequence): OpStep => ({
      bindings: { numTokens: count, numSequences: 1 },
      write: { queryStarts: Int32Array.of(0, count), x: x.slice(starts[sequence]! * numColumns, (starts[sequence]! + count) * numColumns) },
      check(outputs) {
        alone[sequence] = bytesOf(outputs.out!.subarray(0, numColumns)).slice();
      },
    }),
  );
  const together: OpStep = {
    ...poolStep(parts, rowCounts),
    check(outputs) {
      for (const [sequence, bits] of alone.entries())
        expectSameBits(
          `bytes of sequence ${sequence}`,
          bytesOf(outputs.out!.subarray(sequence * numColumns, (sequence + 1) * numColumns)),
          bits,
        );
    },
  };
  return [...singles, together];
}

function faultSteps(parts: PoolParts): OpStep[] {
  const fault = (queryStarts: readonly number[]): OpStep => ({
    bindings: { numTokens: 4, numSequences: 2 },
    write: { queryStarts: Int32Array.from(queryStarts) },
    faultDetail: "",
  });
  return [fault([0, 3, 5]), fault([0, 3, 2]), fault([-1, 2, 4]), ...correctSteps(parts)];
}

const poolCase = (numColumns: number, title: string, stepsOf: (parts: PoolParts) => readonly OpStep[]): OpCase => ({
  name: `meanPool [S, ${numColumns}]${title}`,
  op: "meanPool",
  dtype: "f32",
  plan: () => poolPlan(numColumns, stepsOf),
});

export const meanPoolCases: readonly OpCase[] = [
  ...[1, 33, 64].map((numColumns) => poolCase(numColumns, "", correctSteps)),
  poolCase(33, ", starts outside are faults", faultSteps),
  poolCase(100, ", batch-invariant", invariantSteps),
];
