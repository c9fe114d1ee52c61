import { uniformOf } from "@thermocline/spec";
import { batchSizes, invarianceSteps, maxBatchSize, pickRows } from "../batch-invariance.js";
import { expectSameBits } from "../comparison.js";
import type { OpCase, OpPlan, OpStep } from "../op-case.js";
import { Random } from "../random.js";

interface RowParameters {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
}

interface Choice {
  readonly id: number;
  /** How far the decisions were from going otherwise, relative to the probabilities: below 1e-9 another rounding might choose otherwise. */
  readonly margin: number;
}

interface Candidate {
  readonly id: number;
  readonly logit: number;
}

function penalised(logits: Float32Array, history: ReadonlySet<number>, penalty: number): Candidate[] {
  return Array.from(logits, (logit, id) => {
    if (!history.has(id)) return { id, logit };
    return { id, logit: Math.fround(logit > 0 ? logit / penalty : logit * penalty) };
  });
}

/** The documented rules over lists of candidates, with the distance to the nearest other decision. */
function choose(logits: Float32Array, parameters: RowParameters, history: Int32Array, uniform: number): Choice {
  const byLogit = penalised(logits, new Set(history), parameters.repetitionPenalty).sort((a, b) => b.logit - a.logit || a.id - b.id);
  if (parameters.temperature === 0) return { id: byLogit[0]!.id, margin: 1 };
  let margin = 1;
  const top = parameters.topK > 0 ? byLogit.slice(0, parameters.topK) : byLogit;
  const best = top[0]!.logit;
  const total = top.reduce((sum, { logit }) => sum + Math.exp(logit - best), 0);
  const kept: Candidate[] = [];
  let cumulative = 0;
  for (const candidate of top) {
    if (kept.length > 0 && parameters.topP < 1 && cumulative >= parameters.topP) break;
    kept.push(candidate);
    cumulative += Math.exp(candidate.logit - best) / total;
    if (parameters.topP < 1) margin = Math.min(margin, Math.abs(cumulative - parameters.topP));
  }
  const likely = kept.filter(({ logit }) => {
    const share = Math.exp(logit - best);
    if (parameters.minP > 0) margin = Math.min(margin, Math.abs(share - parameters.minP));
    return share >= parameters.minP;
  });
  const weights = likely.map(({ logit }) => Math.exp((logit - best) / parameters.temperature));
  const sum = weights.reduce((running, weight) => running + weight, 0);
  let running = 0;
  let chosen: number | undefined;
  for (const [index, weight] of weights.entries()) {
    running += weight;
    margin = Math.min(margin, Math.abs(running / sum - uniform));
    if (chosen === undefined && running > uniform * sum) chosen = likely[index]!.id;
  }
  return { id: chosen ?? likely.at(-1)!.id, margin };
}

const parameterChoices: readonly RowParameters[] = [
  { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 },
  { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 },
  { temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05, repetitionPenalty: 1.1 },
  { temperature: 0.7, topK: 5, topP: 1, minP: 0, repetitionPenalty: 1 },
  { temperature: 1.5, topK: 0, topP: 0.9, minP: 0, repetitionPenalty: 1 },
  { temperature: 2, topK: 0, topP: 1, minP: 0.1, repetitionPenalty: 1.3 },
  { temperature: 1, topK: 1, topP: 1, minP: 0, repetitionPenalty: 1 },
  { temperature: 1, topK: 0, topP: 0, minP: 0, repetitionPenalty: 1 },
  { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 5 },
  { temperature: 1, topK: 1_000_000, topP: 0.999, minP: 0.001, repetitionPenalty: 0.9 },
];

const historyLength = 9;

interface SampleData {
  readonly vocabSize: number;
  readonly logits: Float32Array;
  readonly params: Float32Array;
  readonly randomState: Int32Array;
  readonly history: Int32Array;
  readonly tokenIds: Int32Array;
}

/** Logits on a grid of quarters make many ties; draw numbers are such that no decision hangs on rounding. */
function makeData(vocabSize: number, ties: boolean, numRows: number = maxBatchSize): SampleData {
  const random = new Random(vocabSize);
  const logits = random.normals(numRows * vocabSize, 2).map((value) => (ties ? Math.round(value * 4) / 4 : value));
  const params = new Float32Array(numRows * 5);
  const randomState = new Int32Array(numRows * 2);
  const history = random.integers(numRows * historyLength, 0, vocabSize - 1);
  const tokenIds = new Int32Array(numRows);
  for (let row = 0; row < numRows; row++) {
    const rowLogits = logits.subarray(row * vocabSize, (row + 1) * vocabSize);
    const rowHistory = history.subarray(row * historyLength, (row + 1) * historyLength);
    rowHistory.set([rowHistory[1]!, rowHistory[1]!, -1, rowLogits.indexOf(Math.max(...rowLogits.slice(0, 1000)))]);
    const { temperature, topK, topP, minP, repetitionPenalty } = parameterChoices[row % parameterChoices.length]!;
    params.set([temperature, topK, topP, minP, repetitionPenalty], row * 5);
    const [t, k, p, m, r] = params.subarray(row * 5, row * 5 + 5) as unknown as [number, number, number, number, number];
    const rounded = { temperature: t, topK: k, topP: p, minP: m, repetitionPenalty: r };
    const seed = random.integer(-(2 ** 31), 2 ** 31 - 1);
    let draw = row;
    let choice = choose(rowLogits, rounded, rowHistory, uniformOf(seed, draw));
    for (; choice.margin < 1e-9 && draw < row + 100; draw++) choice = choose(rowLogits, rounded, rowHistory, uniformOf(seed, draw + 1));
    randomState.set([seed, draw], row * 2);
    tokenIds[row] = choice.id;
  }
  return { vocabSize, logits, params, randomState, history, tokenIds };
}

function samplePlan(data: SampleData, stepsOf: (stepOf: (rows: readonly number[]) => OpStep) => readonly OpStep[]): OpPlan {
  const { vocabSize, logits, params, randomState, history } = data;
  const numRows = logits.length / vocabSize;
  const stepOf = (rows: readonly number[]): OpStep => ({
    bindings: { numOutputRows: rows.length },
    write: {
      logits: pickRows(logits, vocabSize, rows),
      params: pickRows(params, 5, rows),
      randomState: pickRows(randomState, 2, rows),
      history: pickRows(history, historyLength, rows),
    },
  });
  return {
    arrays: { tokenIds: new Int32Array(numRows).fill(-7), logits, params, randomState, history },
    outputs: ["tokenIds"],
    views: {
      tokenIds: { array: "tokenIds", shape: ["numOutputRows"] },
      logits: { array: "logits", shape: ["numOutputRows", vocabSize] },
      params: { array: "params", shape: ["numOutputRows", 5] },
      randomState: { array: "randomState", shape: ["numOutputRows", 2] },
      history: { array: "history", shape: ["numOutputRows", historyLength] },
    },
    workspaceFor: { rows: numRows, columns: vocabSize },
    record: (encoder, { tokenIds, logits: from, params: parameters, randomState: states, history: recent, workspace }) =>
      encoder.sample(tokenIds!, from!, {
        params: parameters!,
        randomState: states!,
        history: recent!,
        ...(workspace === undefined ? {} : { workspace }),
      }),
    steps: stepsOf(stepOf),
  };
}

const firstRows = (size: number) => Array.from({ length: size }, (_, row) => row);

function correctSteps(data: SampleData, stepOf: (rows: readonly number[]) => OpStep): OpStep[] {
  const numRows = data.tokenIds.length;
  return batchSizes
    .filter((size) => size <= numRows)
    .map((size) => {
      const expected = new Int32Array(numRows).fill(-7);
      expected.set(data.tokenIds.subarray(0, size));
      return { ...stepOf(firstRows(size)), check: (outputs) => expectSameBits("tokenIds", outputs.tokenIds!, expected) };
    });
}

/** Equal probabilities reach top-p exactly: 2 of 4 at p = ½, whatever the draw; and minP = 1 keeps all that are as likely as the best. */
function edgeData(): SampleData {
  const numRows = 8;
  const data = {
    vocabSize: 6,
    logits: new Float32Array(numRows * 6),
    params: new Float32Array(numRows * 5),
    randomState: new Int32Array(numRows * 2),
    history: new Int32Array(numRows * historyLength).fill(-1),
    tokenIds: new Int32Array(numRows),
  };
  for (let row = 0; row < numRows; row++) {
    data.logits.set([Number.NEGATIVE_INFINITY, 3, 3, Number.NEGATIVE_INFINITY, 3, 3], row * 6);
    data.params.set(row % 2 === 0 ? [1, 0, 0.5, 0, 1] : [1, 0, 1, 1, 1], row * 5);
    data.randomState.set([row, 9], row * 2);
    const choices = row % 2 === 0 ? [1, 2] : [1, 2, 4, 5];
    data.tokenIds[row] = choices[Math.floor(uniformOf(row, 9) * choices.length)]!;
  }
  return data;
}

/** No probabilities exist beside an infinite logit: the first candidate is the token, whatever the draw and the other parameters. */
function infiniteData(): SampleData {
  const numRows = 2 * parameterChoices.length;
  const vocabSize = 64;
  const infinities = [41, 9, 63];
  const random = new Random(vocabSize);
  const data = {
    vocabSize,
    logits: random.normals(numRows * vocabSize, 2),
    params: new Float32Array(numRows * 5),
    randomState: random.integers(numRows * 2, -(2 ** 31), 2 ** 31 - 1),
    history: new Int32Array(numRows * historyLength).fill(9),
    tokenIds: new Int32Array(numRows),
  };
  for (let row = 0; row < numRows; row++) {
    const rowLogits = data.logits.subarray(row * vocabSize, (row + 1) * vocabSize);
    // The second half: nothing but -Infinity.
    const isLowest = row >= parameterChoices.length;
    if (isLowest) rowLogits.fill(Number.NEGATIVE_INFINITY);
    else for (const id of infinities) rowLogits[id] = Number.POSITIVE_INFINITY;
    data.tokenIds[row] = isLowest ? 0 : Math.min(...infinities);
    const { temperature, topK, topP, minP, repetitionPenalty } = parameterChoices[row % parameterChoices.length]!;
    data.params.set([temperature, topK, topP, minP, repetitionPenalty], row * 5);
  }
  return data;
}

function sampleCase(
  title: string,
  makeCaseData: () => SampleData,
  stepsOf: (data: SampleData, stepOf: (rows: readonly number[]) => OpStep) => OpStep[],
): OpCase {
  return {
    name: `sample ${title}`,
    op: "sample",
    dtype: "f32",
    plan() {
      const data = makeCaseData();
      return samplePlan(data, (stepOf) => stepsOf(data, stepOf));
    },
  };
}

export const sampleCases: readonly OpCase[] = [
  ...[1, 7, 50, 1000].map((size) => sampleCase(`[R, ${size}]`, () => makeData(size, false), correctSteps)),
  ...[7, 50, 1000].map((size) => sampleCase(`[R, ${size}], ties`, () => makeData(size, true), correctSteps)),
  sampleCase("[3, 32000], ties", () => makeData(32_000, true, 3), correctSteps),
  sampleCase("equal logits at the edge of top-p and min-p", edgeData, (data, stepOf) => [
    { ...stepOf(firstRows(8)), check: (outputs) => expectSameBits("tokenIds", outputs.tokenIds!, data.tokenIds) },
  ]),
  sampleCase("[R, 64], infinite logits", infiniteData, (data, stepOf) => [
    {
      ...stepOf(firstRows(data.tokenIds.length)),
      check: (outputs) => expectSameBits("tokenIds", outputs.tokenIds!, data.tokenIds),
    },
  ]),
  sampleCase(
    "[R, 50], a NaN logit is a fault",
    () => makeData(50, false),
    (data, stepOf) => {
      const logits = data.logits.slice();
      logits[17] = Number.NaN;
      const step = stepOf([0]);
      return [{ ...step, write: { ...step.write, logits }, faultDetail: "" }, ...correctSteps(data, stepOf)];
    },
  ),
  sampleCase(
    "[R, 1000], ties, batch-invariant",
    () => makeData(1000, true),
    (_, stepOf) => invarianceSteps(maxBatchSize, stepOf, (outputs, place) => [outputs.tokenIds!.subarray(place, place + 1)]),
  ),
];
