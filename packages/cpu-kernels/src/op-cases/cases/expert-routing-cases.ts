import { batchSizes, blank, invarianceSteps, maxBatchSize, pickRows } from "../batch-invariance.js";
import { expectClose, expectSameBits } from "../comparison.js";
import { gamma, unitRoundoff } from "../error-bounds.js";
import type { OpCase, OpPlan, OpStep } from "../op-case.js";
import { Random } from "../random.js";

interface RoutingShape {
  readonly numExperts: number;
  readonly used: number;
  readonly normalize: boolean;
  /** Logits on a grid of halves: many are equal. */
  readonly ties: boolean;
}

interface RoutingData {
  readonly logits: Float32Array;
  readonly ids: Int32Array;
  readonly weights: Float64Array;
}

function makeData({ numExperts, used, normalize, ties }: RoutingShape): RoutingData {
  const random = new Random(numExperts * 100 + used);
  const logits = random.normals(maxBatchSize * numExperts, 2).map((value) => (ties ? Math.round(value * 2) / 2 : value));
  const ids = new Int32Array(maxBatchSize * used);
  const weights = new Float64Array(ids.length);
  for (let t = 0; t < maxBatchSize; t++) {
    const row = Array.from(logits.subarray(t * numExperts, (t + 1) * numExperts));
    const chosen = [...row.keys()].sort((a, b) => row[b]! - row[a]! || a - b).slice(0, used);
    const total = (normalize ? chosen.map((id) => row[id]!) : row).reduce((sum, logit) => sum + Math.exp(logit), 0);
    ids.set(chosen, t * used);
    weights.set(
      chosen.map((id) => Math.exp(row[id]!) / total),
      t * used,
    );
  }
  return { logits, ids, weights };
}

/**
 * Ids exactly. A weight in f32: exponentials of arguments that were rounded, off by 4u + 2u · |range| each, their sum of n by γ(n), the
 * quotient by u; ranges of these logits are below 20.
 */
function routingPlan(shape: RoutingShape, stepsOf: (data: RoutingData, stepOf: StepOf) => readonly OpStep[]): OpPlan {
  const { numExperts, used, normalize } = shape;
  const data = makeData(shape);
  const stepOf: StepOf = (tokens) => ({
    bindings: { numTokens: tokens.length },
    write: { logits: pickRows(data.logits, numExperts, tokens) },
  });
  return {
    arrays: { expertIds: new Int32Array(maxBatchSize * used).fill(-7), expertWeights: blank(maxBatchSize * used), logits: data.logits },
    outputs: ["expertIds", "expertWeights"],
    views: {
      expertIds: { array: "expertIds", shape: ["numTokens", used] },
      expertWeights: { array: "expertWeights", shape: ["numTokens", used] },
      logits: { array: "logits", shape: ["numTokens", numExperts] },
    },
    record: (encoder, { expertIds, expertWeights, logits }) => encoder.routeExperts(expertIds!, expertWeights!, logits!, { normalize }),
    steps: stepsOf(data, stepOf),
  };
}

type StepOf = (tokens: readonly number[]) => OpStep;

function correctSteps({ numExperts, used }: RoutingShape, data: RoutingData, stepOf: StepOf): OpStep[] {
  const relative = 2 * (4 + 2 * 20) * unitRoundoff + gamma(numExperts + 1);
  return batchSizes.map((size) => {
    const end = size * used;
    const wantedIds = data.ids.map((id, index) => (index < end ? id : -7));
    const wanted = data.weights.map((weight, index) => (index < end ? weight : Number.NaN));
    return {
      ...stepOf(Array.from({ length: size }, (_, t) => t)),
      check(outputs) {
        expectSameBits("expertIds", outputs.expertIds!, wantedIds);
        expectClose(
          "expertWeights",
          outputs.expertWeights!,
          wanted,
          wanted.map((weight) => relative * weight),
        );
      },
    };
  });
}

function routingCase(title: string, shape: RoutingShape, stepsOf: (data: RoutingData, stepOf: StepOf) => readonly OpStep[]): OpCase {
  const { numExperts, used, normalize, ties } = shape;
  const name = `routeExperts ${used} of ${numExperts}${normalize ? ", normalised" : ""}${ties ? ", ties" : ""}${title}`;
  return { name, op: "routeExperts", dtype: "f32", plan: () => routingPlan(shape, stepsOf) };
}

const routingShapes: readonly RoutingShape[] = [
  { numExperts: 1, used: 1, normalize: true, ties: false },
  { numExperts: 8, used: 2, normalize: true, ties: false },
  { numExperts: 8, used: 2, normalize: false, ties: true },
  { numExperts: 7, used: 7, normalize: false, ties: true },
  { numExperts: 128, used: 8, normalize: true, ties: true },
  { numExperts: 128, used: 8, normalize: false, ties: false },
];

/** Row 1 holds a NaN; then the backend still works. */
function notANumberSteps(shape: RoutingShape, data: RoutingData, stepOf: StepOf): OpStep[] {
  const logits = data.logits.slice();
  logits[shape.numExperts + 3] = Number.NaN;
  return [{ ...stepOf([0, 1]), write: { logits }, faultDetail: "" }, ...correctSteps(shape, data, stepOf).slice(1, 3)];
}

/** Two of 8 experts: two infinite logits in row 0, none but negative infinities in row 1. Equal logits are equally likely. */
function infiniteSteps(data: RoutingData, stepOf: StepOf): OpStep[] {
  const logits = data.logits.slice().fill(Number.NEGATIVE_INFINITY, 8, 16);
  logits[1] = logits[3] = Number.POSITIVE_INFINITY;
  const check: OpStep["check"] = ({ expertIds, expertWeights }) => {
    expectSameBits("expertIds", expertIds!.slice(0, 4), Int32Array.of(1, 3, 0, 1));
    expectSameBits("expertWeights", expertWeights!.slice(0, 4), new Float32Array(4).fill(0.5));
  };
  return [{ ...stepOf([0, 1]), write: { logits }, check }];
}

export const routeExpertsCases: readonly OpCase[] = [
  ...routingShapes.map((shape) => routingCase("", shape, (data, stepOf) => correctSteps(shape, data, stepOf))),
  routingCase(", a NaN logit is a fault", routingShapes[1]!, (data, stepOf) => notANumberSteps(routingShapes[1]!, data, stepOf)),
  routingCase(", infinite logits", routingShapes[1]!, infiniteSteps),
  routingCase(", batch-invariant", routingShapes[4]!, (_, stepOf) =>
    invarianceSteps(maxBatchSize, stepOf, ({ expertIds, expertWeights }, place) => [
      expertIds!.subarray(place * 8, (place + 1) * 8),
      expertWeights!.subarray(place * 8, (place + 1) * 8),
    ]),
  ),
];

/** out = Σu w · x: U products and sums in f32, γ(U) · Σ|w||x|. */
function combinePlan(used: number, numColumns: number, invariance: boolean): OpPlan {
  const random = new Random(used * 1000 + numColumns);
  const x = random.normals(maxBatchSize * used * numColumns);
  const expertWeights = random.normals(maxBatchSize * used);
  const expected = new Float64Array(maxBatchSize * numColumns);
  const tolerance = new Float64Array(expected.length);
  for (let t = 0; t < maxBatchSize; t++)
    for (let u = 0; u < used; u++)
      for (let column = 0; column < numColumns; column++) {
        const product = expertWeights[t * used + u]! * x[(t * used + u) * numColumns + column]!;
        expected[t * numColumns + column]! += product;
        tolerance[t * numColumns + column]! += gamma(used) * Math.abs(product);
      }
  const stepOf: StepOf = (tokens) => ({
    bindings: { numTokens: tokens.length },
    write: { x: pickRows(x, used * numColumns, tokens), expertWeights: pickRows(expertWeights, used, tokens) },
  });
  const correct = batchSizes.map((size): OpStep => {
    const wanted = expected.map((value, index) => (index < size * numColumns ? value : Number.NaN));
    return {
      ...stepOf(Array.from({ length: size }, (_, t) => t)),
      check: (outputs) => expectClose("out", outputs.out!, wanted, tolerance),
    };
  });
  return {
    arrays: { out: blank(maxBatchSize * numColumns), x, expertWeights },
    outputs: ["out"],
    views: {
      out: { array: "out", shape: ["numTokens", numColumns] },
      x: { array: "x", shape: ["numTokens", used, numColumns] },
      expertWeights: { array: "expertWeights", shape: ["numTokens", used] },
    },
    record: (encoder, tensors) => encoder.combineExperts(tensors.out!, tensors.x!, tensors.expertWeights!),
    steps: invariance
      ? invarianceSteps(maxBatchSize, stepOf, (outputs, place) => [outputs.out!.subarray(place * numColumns, (place + 1) * numColumns)])
      : correct,
  };
}

const combineCase = (used: number, numColumns: number, invariance = false): OpCase => ({
  name: `combineExperts [T, ${used}, ${numColumns}]${invariance ? ", batch-invariant" : ""}`,
  op: "combineExperts",
  dtype: "f32",
  plan: () => combinePlan(used, numColumns, invariance),
});

export const combineExpertsCases: readonly OpCase[] = [
  combineCase(1, 1),
  combineCase(2, 33),
  combineCase(3, 64),
  combineCase(8, 100),
  combineCase(8, 100, true),
];
