import { type DType, dtypes } from "@thermocline/spec";
import { batchSizes, blank, invarianceSteps, maxBatchSize, pickRows } from "../batch-invariance.js";
import { expectClose, expectSameBits } from "../comparison.js";
import type { OpCase, OpPlan, OpStep, PlainArray, WeightPlan } from "../op-case.js";
import { Random } from "../random.js";
import { makeWeight, type WeightData, weightDTypes } from "../weight-data.js";
import { type ActivationKind, activationRow, exactProduct, makeActivations } from "./exact-product.js";

interface ExpertShape {
  /** Rows and columns of one expert. */
  readonly rows: number;
  readonly columns: number;
  /** Experts that a token uses. */
  readonly used: number;
  /** x [T, K] for all experts of a token; otherwise [T, U, K]. */
  readonly sharesX: boolean;
  readonly activations: ActivationKind;
}

const numSlots = 4;
/** The last expert is never used; slots are permuted, and two experts of each placement are elsewhere. */
const numExperts = 7;
const unusedExpert = 6;
const placements = [Int32Array.of(2, -1, 0, 3, 1, -1, 0), Int32Array.of(-1, 1, 3, -1, 0, 2, -1)];

interface ExpertData {
  readonly weight: WeightData;
  readonly x: Float32Array;
  /** [T, U], distinct within a token. */
  readonly expertIds: Int32Array;
}

function makeData(dtype: DType, { rows, columns, used, sharesX, activations }: ExpertShape): ExpertData {
  const random = new Random(rows * 7919 + columns + used);
  const weight = makeWeight(random, dtype, [numSlots, rows, columns]);
  const x = makeActivations(random, maxBatchSize * (sharesX ? 1 : used), columns, activations);
  const expertIds = new Int32Array(maxBatchSize * used);
  for (let t = 0; t < maxBatchSize; t++) {
    const chosen = random.permutation(numExperts).filter((id) => id !== unusedExpert);
    // One expert is used by the first token alone.
    const others = t === 0 ? chosen.sort((a, b) => b - a) : chosen.filter((id) => id !== unusedExpert - 1);
    expertIds.set(others.slice(0, used), t * used);
  }
  return { weight, x, expertIds };
}

interface ExactRows {
  readonly expected: Float64Array;
  readonly tolerance: Float64Array;
}

/** All tokens with the experts of a placement: [T, U, N], zeros for experts that are elsewhere. */
function solve(dtype: DType, shape: ExpertShape, data: ExpertData, slots: Int32Array): ExactRows {
  const { rows, columns, used, sharesX, activations } = shape;
  const expected = new Float64Array(maxBatchSize * used * rows);
  const tolerance = new Float64Array(expected.length);
  for (const [place, id] of data.expertIds.entries()) {
    const slot = slots[id]!;
    if (slot < 0) continue;
    const first = (sharesX ? Math.floor(place / used) : place) * columns;
    const row = activationRow(data.x.subarray(first, first + columns), dtype, activations);
    for (let n = 0; n < rows; n++) {
      const weightAt = (slot * rows + n) * columns;
      const weightRow = {
        values: data.weight.values.subarray(weightAt, weightAt + columns),
        magnitudes: data.weight.magnitudes.subarray(weightAt, weightAt + columns),
      };
      const at = place * rows + n;
      [expected[at], tolerance[at]] = exactProduct(row, weightRow, dtype) as [number, number];
    }
  }
  return { expected, tolerance };
}

function expertPlan(dtype: DType, shape: ExpertShape, stepsOf: (data: ExpertData) => readonly OpStep[]): OpPlan {
  const { rows, columns, used, sharesX } = shape;
  const data = makeData(dtype, shape);
  return {
    arrays: { out: blank(maxBatchSize * used * rows), x: data.x, expertIds: data.expertIds, expertSlots: placements[0]! },
    outputs: ["out"],
    views: {
      out: { array: "out", shape: ["numTokens", used, rows] },
      x: { array: "x", shape: sharesX ? ["numTokens", columns] : ["numTokens", used, columns] },
      expertIds: { array: "expertIds", shape: ["numTokens", used] },
      expertSlots: { array: "expertSlots", shape: [numExperts] },
    },
    weights: { weight: data.weight },
    workspaceFor: { rows: maxBatchSize * used, columns, experts: numExperts },
    record: (encoder, { out, x, weight, expertIds, expertSlots, workspace }) =>
      encoder.expertMatmul(out!, x!, weight!, {
        expertIds: expertIds!,
        expertSlots: expertSlots!,
        ...(workspace === undefined ? {} : { workspace }),
      }),
    steps: stepsOf(data),
  };
}

/** Every batch size with the first placement, then the whole batch with the other one: experts moved without a new recording. */
function correctSteps(dtype: DType, shape: ExpertShape, data: ExpertData): OpStep[] {
  const stepOf = (size: number, expertSlots: Int32Array, { expected, tolerance }: ExactRows): OpStep => {
    const end = size * shape.used * shape.rows;
    const wanted = expected.map((value, index) => (index < end ? value : Number.NaN));
    return {
      bindings: { numTokens: size },
      write: { expertSlots },
      check: (outputs) => expectClose("out", outputs.out!, wanted, tolerance),
    };
  };
  const [before, after] = placements.map((slots) => solve(dtype, shape, data, slots));
  return [
    ...batchSizes.map((size) => stepOf(size, placements[0]!, before!)),
    stepOf(maxBatchSize, placements[1]!, after!),
    stepOf(1, placements[1]!, after!),
  ];
}

function invariantSteps(shape: ExpertShape, { x, expertIds }: ExpertData): OpStep[] {
  const { rows, columns, used, sharesX } = shape;
  const rowLength = used * rows;
  return invarianceSteps(
    maxBatchSize,
    (tokens) => ({
      bindings: { numTokens: tokens.length },
      write: { x: pickRows(x, sharesX ? columns : used * columns, tokens), expertIds: pickRows(expertIds, used, tokens) },
    }),
    (outputs, place) => [outputs.out!.subarray(place * rowLength, (place + 1) * rowLength)],
  );
}

/** An expert that does not exist, or in a slot that does not; then the backend still works. */
function faultSteps(dtype: DType, shape: ExpertShape, data: ExpertData): OpStep[] {
  const fault = (write: Record<string, PlainArray>, value: number): OpStep => ({
    bindings: { numTokens: 2 },
    write,
    faultDetail: `${value}`,
  });
  return [
    ...[-1, numExperts].map((id) => fault({ expertIds: data.expertIds.map((known, place) => (place === 1 ? id : known)) }, id)),
    ...[-2, numSlots].map((slot) => fault({ expertSlots: new Int32Array(numExperts).fill(slot) }, slot)),
    ...correctSteps(dtype, shape, data).slice(2, 4),
  ];
}

/** One expert a token; the same rows by `matmul` with each expert's matrix by itself: equal bits. */
function likeMatmulPlan(dtype: DType, columns: number): OpPlan {
  const shape: ExpertShape = { rows: 21, columns, used: 1, sharesX: true, activations: "normal" };
  const { rows } = shape;
  const plan = expertPlan(dtype, shape, () => []);
  const { weight } = plan.weights as { weight: WeightData };
  const matrixBytes = weight.bytes.length / numSlots;
  const slotNames = Array.from({ length: numSlots }, (_, slot) => `slot${slot}`);
  const matrices: Record<string, WeightPlan> = Object.fromEntries(
    slotNames.map((name, slot) => [
      `${name}Matrix`,
      { dtype, shape: [rows, columns], bytes: weight.bytes.slice(slot * matrixBytes, (slot + 1) * matrixBytes) },
    ]),
  );
  const ids = plan.arrays.expertIds as Int32Array;
  const check: OpStep["check"] = (outputs) => {
    for (let t = 0; t < maxBatchSize; t++) {
      const slot = placements[0]![ids[t]!]!;
      const row = outputs.out!.subarray(t * rows, (t + 1) * rows);
      const expected = slot < 0 ? new Float32Array(rows) : outputs[slotNames[slot]!]!.subarray(t * rows, (t + 1) * rows);
      expectSameBits(`row of token ${t}, slot ${slot}`, row, expected);
    }
  };
  return {
    ...plan,
    arrays: { ...plan.arrays, ...Object.fromEntries(slotNames.map((name) => [name, blank(maxBatchSize * rows)])) },
    outputs: ["out", ...slotNames],
    views: { ...plan.views, ...Object.fromEntries(slotNames.map((name) => [name, { array: name, shape: ["numTokens", rows] as const }])) },
    weights: { weight, ...matrices },
    record(encoder, tensors) {
      plan.record(encoder, tensors);
      const options = tensors.workspace === undefined ? {} : { workspace: tensors.workspace };
      for (const name of slotNames) encoder.matmul(tensors[name]!, tensors.x!, tensors[`${name}Matrix`]!, options);
    },
    steps: [{ bindings: { numTokens: maxBatchSize }, check }],
  };
}

const thoroughDTypes: readonly DType[] = ["f32", "f16", "q8_0", "q4_0", "q4_k"];

function casesOf(dtype: DType): OpCase[] {
  const { blockSize } = dtypes[dtype];
  const whole = (columns: number) => Math.ceil(columns / blockSize) * blockSize;
  const one = (title: string, shape: ExpertShape, steps: (data: ExpertData) => readonly OpStep[]): OpCase => ({
    name: `expertMatmul ${dtype} [T, ${shape.used}, ${shape.rows}] of ${shape.columns} columns, ${title}`,
    op: "expertMatmul",
    dtype,
    plan: () => expertPlan(dtype, shape, steps),
  });
  const shared: ExpertShape = { rows: 19, columns: whole(48), used: 2, sharesX: true, activations: "normal" };
  const apart: ExpertShape = { rows: 33, columns: whole(64), used: 3, sharesX: false, activations: "integers" };
  const common = [
    one("shared x", shared, (data) => correctSteps(dtype, shared, data)),
    {
      name: `expertMatmul ${dtype}, rows as matmul computes them`,
      op: "expertMatmul" as const,
      dtype,
      plan: () => likeMatmulPlan(dtype, whole(96)),
    },
  ];
  if (!thoroughDTypes.includes(dtype)) return common;
  const single: ExpertShape = { rows: 1, columns: whole(1), used: 1, sharesX: false, activations: "normal" };
  return [
    ...common,
    one("x for each expert", apart, (data) => correctSteps(dtype, apart, data)),
    one("a single row", single, (data) => correctSteps(dtype, single, data)),
    one("ids and slots outside are faults", shared, (data) => faultSteps(dtype, shared, data)),
    one("batch-invariant", { ...apart, activations: "normal" }, (data) => invariantSteps(apart, data)),
  ];
}

export const expertMatmulCases: readonly OpCase[] = weightDTypes.flatMap(casesOf);
