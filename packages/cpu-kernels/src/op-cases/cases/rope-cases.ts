import type { RopeMode } from "@thermocline/spec";
import { batchSizes, invarianceSteps, maxBatchSize, pickRows } from "../batch-invariance.js";
import { expectClose } from "../comparison.js";
import { unitRoundoff } from "../error-bounds.js";
import type { OpCase, OpPlan, OpStep } from "../op-case.js";
import { Random } from "../random.js";

interface RopeShape {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly dims: number;
  readonly mode: RopeMode;
  readonly theta: number;
  readonly hasFactors?: boolean;
  /** Absent: not given to the op. */
  readonly magnitude?: number;
}

/**
 * Each result a·cos ∓ b·sin: two functions rounded to f32, two products and a sum, 4u of |a| + |b|; with a magnitude 6u of it times |a| + |b|. The angle is meant in double precision:
 * a backend whose angle is off by f32 rounding at position 10^6 fails.
 */
function rotate(
  values: Float64Array,
  tolerance: Float64Array,
  first: number,
  position: number,
  shape: RopeShape,
  factors: Float32Array,
): void {
  const { dims, mode, theta, magnitude = 1 } = shape;
  const roundings = shape.magnitude === undefined ? 4 : 6;
  for (let i = 0; i < dims / 2; i++) {
    const angle = (position * theta ** ((-2 * i) / dims)) / (shape.hasFactors ? factors[i]! : 1);
    const [at, other] = mode === "normal" ? [first + 2 * i, first + 2 * i + 1] : [first + i, first + i + dims / 2];
    const [a, b] = [values[at]!, values[other]!];
    values[at] = magnitude * (a * Math.cos(angle) - b * Math.sin(angle));
    values[other] = magnitude * (a * Math.sin(angle) + b * Math.cos(angle));
    tolerance[at] = tolerance[other] = roundings * unitRoundoff * magnitude * (Math.abs(a) + Math.abs(b));
  }
}

/** q and k are the leading parts of the rows of one fused tensor, whose rest must stay. */
function ropePlan(shape: RopeShape, invariance: boolean): OpPlan {
  const { numHeads, numKvHeads, headDim, dims, mode, theta, magnitude } = shape;
  const random = new Random(numHeads * 31 + headDim);
  const kOffset = Math.ceil((numHeads * headDim) / 64) * 64;
  const stride = kOffset + numKvHeads * headDim + 64;
  const fused = random.normals(maxBatchSize * stride);
  const positions = random.integers(maxBatchSize, 0, 5000);
  positions.set([0, 1, 1_000_000, 131_071]);
  const factors = Float32Array.from({ length: dims / 2 }, () => 1 + 7 * random.uniform());
  const expected = Float64Array.from(fused);
  const tolerance = new Float64Array(fused.length);
  for (let t = 0; t < maxBatchSize; t++) {
    for (let head = 0; head < numHeads; head++) rotate(expected, tolerance, t * stride + head * headDim, positions[t]!, shape, factors);
    for (let head = 0; head < numKvHeads; head++)
      rotate(expected, tolerance, t * stride + kOffset + head * headDim, positions[t]!, shape, factors);
  }
  const stepOf = (rows: readonly number[]): OpStep => ({
    bindings: { numTokens: rows.length },
    write: { fused: pickRows(fused, stride, rows), positions: pickRows(positions, 1, rows) },
  });
  const steps = batchSizes.map((size): OpStep => {
    const wanted = Float64Array.from(fused, (value, index) => (index < size * stride ? expected[index]! : value));
    const allowed = tolerance.map((value, index) => (index < size * stride ? value : 0));
    return { bindings: { numTokens: size }, check: (outputs) => expectClose("q | k", outputs.fused!, wanted, allowed) };
  });
  return {
    arrays: { fused, positions, factors },
    outputs: ["fused"],
    views: {
      q: { array: "fused", shape: ["numTokens", numHeads, headDim], rowStride: stride },
      k: { array: "fused", shape: ["numTokens", numKvHeads, headDim], rowStride: stride, offset: kOffset },
      positions: { array: "positions", shape: ["numTokens"] },
      factors: { array: "factors", shape: [dims / 2] },
    },
    record: (encoder, { q, k, positions: at, factors: frequencyFactors }) =>
      encoder.rope(q!, k!, at!, {
        theta,
        dims,
        mode,
        ...(shape.hasFactors ? { frequencyFactors: frequencyFactors! } : {}),
        ...(magnitude === undefined ? {} : { magnitude }),
      }),
    steps: invariance
      ? invarianceSteps(maxBatchSize, stepOf, (outputs, place) => [outputs.fused!.subarray(place * stride, (place + 1) * stride)])
      : steps,
  };
}

const shapes: readonly RopeShape[] = (["normal", "neox"] as const).flatMap((mode) => [
  { numHeads: 1, numKvHeads: 1, headDim: 2, dims: 2, mode, theta: 10000 },
  { numHeads: 4, numKvHeads: 2, headDim: 64, dims: 64, mode, theta: 10000 },
  { numHeads: 3, numKvHeads: 1, headDim: 48, dims: 48, mode, theta: 500000, hasFactors: true },
  { numHeads: 2, numKvHeads: 2, headDim: 80, dims: 20, mode, theta: 10000 },
  { numHeads: 2, numKvHeads: 1, headDim: 14, dims: 10, mode, theta: 1e6 },
  { numHeads: 2, numKvHeads: 1, headDim: 32, dims: 32, mode, theta: 10000, hasFactors: true, magnitude: 1.1386 },
]);

const title = ({ numHeads, numKvHeads, headDim, dims, mode, hasFactors, magnitude }: RopeShape) => {
  const variant = `${hasFactors ? ", frequency factors" : ""}${magnitude === undefined ? "" : `, magnitude ${magnitude}`}`;
  return `rope ${mode}, ${numHeads} and ${numKvHeads} heads of ${headDim}, ${dims} dims${variant}`;
};

export const ropeCases: readonly OpCase[] = [
  ...shapes.map((shape): OpCase => ({ name: title(shape), op: "rope", dtype: "f32", plan: () => ropePlan(shape, false) })),
  ...[shapes[1]!, shapes[8]!].map(
    (shape): OpCase => ({ name: `${title(shape)}, batch-invariant`, op: "rope", dtype: "f32", plan: () => ropePlan(shape, true) }),
  ),
];
