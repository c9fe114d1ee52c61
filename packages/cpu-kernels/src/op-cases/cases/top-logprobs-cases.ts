import { batchSizes, blank, invarianceSteps, maxBatchSize, pickRows } from "../batch-invariance.js";
import { expectClose, expectSameBits } from "../comparison.js";
import { gamma, unitRoundoff } from "../error-bounds.js";
import type { OpCase, OpPlan, OpStep } from "../op-case.js";
import { Random } from "../random.js";

/**
 * logprob = l - best - ln Σ exp(l - best). In f32: V exponentials of relative error 6 roundings and their sum, γ(V + 8), which the
 * logarithm turns into an absolute error; and four roundings of the figures themselves.
 */
function topLogprobsPlan(vocabSize: number, count: number, ties: boolean, invariance: boolean): OpPlan {
  const random = new Random(vocabSize + count);
  const logits = random.normals(maxBatchSize * vocabSize, 3).map((value) => (ties ? Math.round(value * 2) / 2 : value));
  const sampledTokenIds = random.integers(maxBatchSize, 0, vocabSize - 1);
  const ids = new Int32Array(maxBatchSize * count).fill(-7);
  const logprobs = new Float64Array(ids.length).fill(Number.NaN);
  const tolerance = new Float64Array(ids.length);
  for (let row = 0; row < maxBatchSize; row++) {
    const rowLogits = Float64Array.from(logits.subarray(row * vocabSize, (row + 1) * vocabSize));
    const largestFirst = Array.from(rowLogits.keys()).sort((a, b) => rowLogits[b]! - rowLogits[a]! || a - b);
    const best = rowLogits[largestFirst[0]!]!;
    const logOfSum = best + Math.log(rowLogits.reduce((sum, logit) => sum + Math.exp(logit - best), 0));
    const chosen = [sampledTokenIds[row]!, ...largestFirst].slice(0, count);
    for (const [column, id] of chosen.entries()) {
      ids[row * count + column] = id;
      logprobs[row * count + column] = rowLogits[id]! - logOfSum;
      tolerance[row * count + column] = gamma(vocabSize + 8) + 4 * unitRoundoff * (Math.abs(rowLogits[id]!) + Math.abs(logOfSum));
    }
  }
  const stepOf = (rows: readonly number[]): OpStep => ({
    bindings: { numOutputRows: rows.length },
    write: { logits: pickRows(logits, vocabSize, rows), sampledTokenIds: pickRows(sampledTokenIds, 1, rows) },
  });
  const steps = batchSizes.map((size): OpStep => {
    const end = size * count;
    const wantedIds = ids.map((id, index) => (index < end ? id : -7));
    const wanted = logprobs.map((value, index) => (index < end ? value : Number.NaN));
    return {
      ...stepOf(Array.from({ length: size }, (_, row) => row)),
      check(outputs) {
        expectSameBits("ids", outputs.ids!, wantedIds);
        expectClose("logprobs", outputs.logprobs!, wanted, tolerance);
      },
    };
  });
  const fault: OpStep = {
    bindings: { numOutputRows: 1 },
    write: { sampledTokenIds: Int32Array.of(vocabSize) },
    faultDetail: `${vocabSize}`,
  };
  return {
    arrays: { ids: new Int32Array(ids.length).fill(-7), logprobs: blank(ids.length), logits, sampledTokenIds },
    outputs: ["ids", "logprobs"],
    views: {
      ids: { array: "ids", shape: ["numOutputRows", count] },
      logprobs: { array: "logprobs", shape: ["numOutputRows", count] },
      logits: { array: "logits", shape: ["numOutputRows", vocabSize] },
      sampledTokenIds: { array: "sampledTokenIds", shape: ["numOutputRows"] },
    },
    record: (encoder, tensors) => encoder.topLogprobs(tensors.ids!, tensors.logprobs!, tensors.logits!, tensors.sampledTokenIds!),
    steps: invariance
      ? invarianceSteps(maxBatchSize, stepOf, ({ ids: gotIds, logprobs: got }, place) => [
          gotIds!.subarray(place * count, (place + 1) * count),
          got!.subarray(place * count, (place + 1) * count),
        ])
      : [...steps, fault, steps[1]!],
  };
}

const shapes = [
  [1, 1],
  [7, 3],
  [50, 21],
  [1000, 6],
  [1000, 1],
] as const;

export const topLogprobsCases: readonly OpCase[] = [
  ...shapes.flatMap(([vocabSize, count]) =>
    [false, true].map(
      (ties): OpCase => ({
        name: `topLogprobs [R, ${count}] of ${vocabSize}${ties ? ", ties" : ""}`,
        op: "topLogprobs",
        dtype: "f32",
        plan: () => topLogprobsPlan(vocabSize, count, ties, false),
      }),
    ),
  ),
  {
    name: "topLogprobs [R, 6] of 1000, batch-invariant",
    op: "topLogprobs",
    dtype: "f32",
    plan: () => topLogprobsPlan(1000, 6, true, true),
  },
];
