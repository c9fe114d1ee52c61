import { samplingColumns, uniformOf } from "@thermocline/spec";
import { batchSizes, invarianceSteps, maxBatchSize, pickRows } from "../batch-invariance.js";
import { expectClose, expectSameBits } from "../comparison.js";
import { unitRoundoff } from "../error-bounds.js";
import type { OpCase, OpPlan, OpStep } from "../op-case.js";
import { Random } from "../random.js";
import { chooseExactly, type RowParameters } from "./exact-sampling.js";

const off: RowParameters = {
  temperature: 1,
  topK: 0,
  typicalP: 1,
  topP: 1,
  minP: 0,
  topNSigma: 0,
  xtcProbability: 0,
  xtcThreshold: 0.1,
  mirostatTau: 0,
  mirostatEta: 0.1,
};

/** Each step alone, at its edges, and together. */
const parameterChoices: readonly RowParameters[] = [
  { ...off, temperature: 0 },
  off,
  { ...off, temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05 },
  { ...off, temperature: 0.7, topK: 5 },
  { ...off, temperature: 1.5, topP: 0.9 },
  { ...off, temperature: 2, minP: 0.1 },
  { ...off, topK: 1 },
  { ...off, topP: 0 },
  { ...off, topK: 1_000_000, topP: 0.999, minP: 0.001 },
  { ...off, topNSigma: 1 },
  { ...off, temperature: 3, topNSigma: 0.3 },
  { ...off, typicalP: 0.5 },
  { ...off, typicalP: 0.95, temperature: 0.5 },
  { ...off, typicalP: 0 },
  { ...off, xtcProbability: 1, xtcThreshold: 0.05 },
  { ...off, xtcProbability: 0.5, xtcThreshold: 0.02 },
  { ...off, xtcProbability: 1, xtcThreshold: 0 },
  { ...off, xtcProbability: 1, xtcThreshold: 0.6 },
  { ...off, mirostatTau: 3, mirostatEta: 0.1 },
  { ...off, mirostatTau: 1, mirostatEta: 0.7, temperature: 0.6, topK: 1, typicalP: 0, topP: 0, minP: 1, topNSigma: 1e-3 },
  { ...off, temperature: 0, mirostatTau: 3, xtcProbability: 1 },
  { ...off, temperature: 0.9, topNSigma: 2, topK: 30, typicalP: 0.97, topP: 0.95, minP: 0.02, xtcProbability: 0.5, xtcThreshold: 0.08 },
  { ...off, temperature: 1.3, topNSigma: 1.5, typicalP: 0.6, topP: 0.9, xtcProbability: 1, xtcThreshold: 0.15 },
];

const numColumns = samplingColumns.length;

/** The parameters as a row of the tensor holds them, rounded to f32. */
function rounded(parameters: RowParameters): RowParameters {
  return Object.fromEntries(samplingColumns.map((name) => [name, Math.fround(parameters[name])])) as RowParameters;
}

interface SampleData {
  readonly vocabSize: number;
  readonly numEdits: number;
  readonly logits: Float32Array;
  readonly params: Float32Array;
  readonly randomState: Int32Array;
  readonly editIds: Int32Array;
  readonly editValues: Float32Array;
  readonly surpriseLimits: Float32Array;
  /** What must come out. */
  readonly tokenIds: Int32Array;
  readonly nextSurpriseLimits: Float64Array;
}

function emptyData(numRows: number, vocabSize: number, numEdits: number): SampleData {
  return {
    vocabSize,
    numEdits,
    logits: new Float32Array(numRows * vocabSize),
    params: new Float32Array(numRows * numColumns),
    randomState: new Int32Array(numRows * 2),
    editIds: new Int32Array(numRows * numEdits).fill(-1),
    editValues: new Float32Array(numRows * numEdits * 2),
    surpriseLimits: new Float32Array(numRows),
    tokenIds: new Int32Array(numRows),
    nextSurpriseLimits: new Float64Array(numRows),
  };
}

/** A list of distinct ids, the largest of the first thousand logits among them, that often ends before its room; behind the end lies what must not be read. */
function randomEdits(random: Random, data: SampleData, row: number): void {
  const { vocabSize, numEdits } = data;
  const ids = data.editIds.subarray(row * numEdits, (row + 1) * numEdits);
  const values = data.editValues.subarray(row * numEdits * 2, (row + 1) * numEdits * 2);
  const rowLogits = data.logits.subarray(row * vocabSize, (row + 1) * vocabSize);
  const distinct = new Set([rowLogits.indexOf(Math.max(...rowLogits.subarray(0, 1000)))]);
  const wanted = Math.min(vocabSize, random.integer(0, numEdits));
  while (distinct.size < wanted) distinct.add(random.integer(0, vocabSize - 1));
  const listed = [...distinct].slice(0, wanted);
  ids.fill(vocabSize + 5);
  ids.set(listed);
  if (listed.length < numEdits) ids[listed.length] = -1;
  const penalties = [1, 1.1, 1.3, 0.9, 5];
  const biases = [0, 0, -0.5, 2.5, -100, Number.NEGATIVE_INFINITY];
  for (let index = 0; index < numEdits; index++)
    values.set([penalties[random.integer(0, penalties.length - 1)]!, biases[random.integer(0, biases.length - 1)]!], 2 * index);
}

const decidedMargin = 1e-9;

/** Fills in what must come out; a row whose decision hangs on rounding gets the next number of draw. */
function solveRow(data: SampleData, row: number, parameters: RowParameters): void {
  const { vocabSize, numEdits } = data;
  const inputs = {
    logits: data.logits.subarray(row * vocabSize, (row + 1) * vocabSize),
    parameters: rounded(parameters),
    seed: data.randomState[row * 2]!,
    editIds: data.editIds.subarray(row * numEdits, (row + 1) * numEdits),
    editValues: data.editValues.subarray(row * numEdits * 2, (row + 1) * numEdits * 2),
    surpriseLimit: data.surpriseLimits[row]!,
  };
  let draw = data.randomState[row * 2 + 1]!;
  let choice = chooseExactly({ ...inputs, draw });
  for (let tries = 0; choice.margin < decidedMargin && tries < 100; tries++) {
    draw++;
    choice = chooseExactly({ ...inputs, draw });
  }
  if (choice.margin < decidedMargin) throw new Error(`row ${row} of ${vocabSize} logits has no draw that does not hang on rounding`);
  data.randomState[row * 2 + 1] = draw;
  data.tokenIds[row] = choice.id;
  data.nextSurpriseLimits[row] = choice.surpriseLimit;
}

interface DataOptions {
  readonly vocabSize: number;
  /** Logits on a grid of quarters. */
  readonly ties?: boolean;
  readonly numEdits?: number;
  readonly choices?: readonly RowParameters[];
  readonly numRows?: number;
}

function makeData({ vocabSize, ties, numEdits = 9, choices = parameterChoices, numRows = maxBatchSize }: DataOptions): SampleData {
  const random = new Random(vocabSize + numEdits);
  const data = emptyData(numRows, vocabSize, numEdits);
  data.logits.set(random.normals(numRows * vocabSize, 2).map((value) => (ties ? Math.round(value * 4) / 4 : value)));
  for (let row = 0; row < numRows; row++) {
    const parameters = choices[row % choices.length]!;
    data.params.set(
      samplingColumns.map((name) => parameters[name]),
      row * numColumns,
    );
    data.randomState.set([random.integer(-(2 ** 31), 2 ** 31 - 1), row], row * 2);
    data.surpriseLimits[row] = 0.5 + 8 * random.uniform();
    randomEdits(random, data, row);
    solveRow(data, row, parameters);
  }
  return data;
}

type StepOf = (rows: readonly number[]) => OpStep;

function samplePlan(data: SampleData, stepsOf: (stepOf: StepOf) => readonly OpStep[]): OpPlan {
  const { vocabSize, numEdits, logits, params, randomState, editIds, editValues, surpriseLimits } = data;
  const numRows = data.tokenIds.length;
  const stepOf = (rows: readonly number[]): OpStep => ({
    bindings: { numOutputRows: rows.length },
    write: {
      logits: pickRows(logits, vocabSize, rows),
      params: pickRows(params, numColumns, rows),
      randomState: pickRows(randomState, 2, rows),
      editIds: pickRows(editIds, numEdits, rows),
      editValues: pickRows(editValues, 2 * numEdits, rows),
      surpriseLimits: pickRows(surpriseLimits, 1, rows),
    },
  });
  return {
    arrays: { tokenIds: new Int32Array(numRows).fill(-7), logits, params, randomState, editIds, editValues, surpriseLimits },
    outputs: ["tokenIds", "surpriseLimits"],
    views: {
      tokenIds: { array: "tokenIds", shape: ["numOutputRows"] },
      logits: { array: "logits", shape: ["numOutputRows", vocabSize] },
      params: { array: "params", shape: ["numOutputRows", numColumns] },
      randomState: { array: "randomState", shape: ["numOutputRows", 2] },
      editIds: { array: "editIds", shape: ["numOutputRows", numEdits] },
      editValues: { array: "editValues", shape: ["numOutputRows", 2 * numEdits] },
      surpriseLimits: { array: "surpriseLimits", shape: ["numOutputRows"] },
    },
    workspaceFor: { rows: numRows, columns: vocabSize },
    record: (encoder, tensors) =>
      encoder.sample(tensors.tokenIds!, tensors.logits!, {
        params: tensors.params!,
        randomState: tensors.randomState!,
        editIds: tensors.editIds!,
        editValues: tensors.editValues!,
        surpriseLimits: tensors.surpriseLimits!,
        ...(tensors.workspace === undefined ? {} : { workspace: tensors.workspace }),
      }),
    steps: stepsOf(stepOf),
  };
}

const firstRows = (size: number) => Array.from({ length: size }, (_, row) => row);

/**
 * Tokens exactly. Limits were rounded to f32 once, from figures in double precision whose logarithm of a sum of up to 10^5 terms is off by
 * 10^-11 at most; where mirostat is off they keep their bits.
 */
function checkedStep(data: SampleData, stepOf: StepOf, size: number): OpStep {
  const wantedIds = new Int32Array(data.tokenIds.length).fill(-7);
  wantedIds.set(data.tokenIds.subarray(0, size));
  const wantedLimits = Float64Array.from(data.surpriseLimits);
  wantedLimits.set(data.nextSurpriseLimits.subarray(0, size));
  const tolerance = wantedLimits.map((limit, row) => (limit === data.surpriseLimits[row] ? 0 : unitRoundoff * Math.abs(limit) + 1e-11));
  return {
    ...stepOf(firstRows(size)),
    check(outputs) {
      expectSameBits("tokenIds", outputs.tokenIds!, wantedIds);
      expectClose("surpriseLimits", outputs.surpriseLimits!, wantedLimits, tolerance);
    },
  };
}

function correctSteps(data: SampleData, stepOf: StepOf): OpStep[] {
  return batchSizes.filter((size) => size <= data.tokenIds.length).map((size) => checkedStep(data, stepOf, size));
}

/** Rows of `parameters` in turn over the same logits, whose tokens the case knows. */
function handMade(logits: readonly number[], numRows: number, rowOf: (row: number) => readonly [RowParameters, number]): SampleData {
  const data = emptyData(numRows, logits.length, 0);
  for (let row = 0; row < numRows; row++) {
    const [parameters, tokenId] = rowOf(row);
    data.logits.set(logits, row * logits.length);
    data.params.set(
      samplingColumns.map((name) => parameters[name]),
      row * numColumns,
    );
    data.randomState.set([row, 9], row * 2);
    data.tokenIds[row] = tokenId;
  }
  return data;
}

/** Equal probabilities reach top-p exactly: 2 of 4 at p = ½, whatever the draw; minP = 1 keeps all that are as likely as the best. */
function edgeData(): SampleData {
  const none = Number.NEGATIVE_INFINITY;
  const cases: readonly (readonly [RowParameters, readonly number[]])[] = [
    [{ ...off, topP: 0.5 }, [1, 2]],
    [{ ...off, minP: 1 }, [1, 2, 4, 5]],
    // A running sum of ½ does not exceed ½ yet: a third one stays.
    [{ ...off, typicalP: 0.5 }, [1, 2, 4]],
    [{ ...off, xtcProbability: 1, xtcThreshold: 0.25 }, [5]],
    // σ of the finite logits is 0.
    [{ ...off, topNSigma: 1e-3 }, [1, 2, 4, 5]],
    [{ ...off, topK: 3 }, [1, 2, 4]],
  ];
  return handMade([none, 3, 3, none, 3, 3], 24, (row) => {
    const [parameters, choices] = cases[row % cases.length]!;
    return [parameters, choices[Math.floor(uniformOf(row, 9) * choices.length)]!];
  });
}

/** No probabilities exist beside an infinite logit: the first candidate is the token, whatever the draw and the other parameters. */
function infiniteData(): SampleData {
  const infinities = [41, 9, 63];
  const numChoices = parameterChoices.length;
  const data = handMade([...new Random(64).normals(64, 2)], 2 * numChoices, (row) => [
    parameterChoices[row % numChoices]!,
    row >= numChoices ? 0 : Math.min(...infinities),
  ]);
  for (let row = 0; row < 2 * numChoices; row++) {
    const rowLogits = data.logits.subarray(row * 64, (row + 1) * 64);
    // The second half: nothing but -Infinity.
    if (row >= numChoices) rowLogits.fill(Number.NEGATIVE_INFINITY);
    else for (const id of infinities) rowLogits[id] = Number.POSITIVE_INFINITY;
  }
  return data;
}

/** Several draws of each row with mirostat, each with the limit that the one before has left. */
function mirostatSteps(data: SampleData, stepOf: StepOf): OpStep[] {
  const numRows = data.tokenIds.length;
  return Array.from({ length: 6 }, () => {
    const now: SampleData = { ...data, surpriseLimits: data.surpriseLimits.slice(), randomState: data.randomState.slice() };
    const solved: SampleData = { ...now, tokenIds: new Int32Array(numRows), nextSurpriseLimits: new Float64Array(numRows) };
    for (let row = 0; row < numRows; row++) {
      solveRow(solved, row, mirostatChoices[row % mirostatChoices.length]!);
      data.surpriseLimits[row] = solved.nextSurpriseLimits[row]!;
      data.randomState[row * 2 + 1] = solved.randomState[row * 2 + 1]! + 1;
    }
    const step = checkedStep(solved, stepOf, numRows);
    return { ...step, write: { ...step.write, surpriseLimits: solved.surpriseLimits, randomState: solved.randomState } };
  });
}

const mirostatChoices: readonly RowParameters[] = [
  { ...off, mirostatTau: 3 },
  { ...off, mirostatTau: 5, mirostatEta: 1, temperature: 0.7 },
  { ...off, mirostatTau: 0.5, mirostatEta: 0.2, temperature: 1.4 },
];

function sampleCase(title: string, makeCaseData: () => SampleData, stepsOf: (data: SampleData, stepOf: StepOf) => OpStep[]): OpCase {
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

const allRows = (data: SampleData, stepOf: StepOf) => [checkedStep(data, stepOf, data.tokenIds.length)];

/** A row that faults with this written over its inputs; then the backend still works. */
function faultCase(title: string, faults: readonly { readonly write: NonNullable<OpStep["write"]>; readonly detail: string }[]): OpCase {
  return sampleCase(
    `[R, 50], ${title} is a fault`,
    () => makeData({ vocabSize: 50 }),
    (data, stepOf) => {
      const step = stepOf([0]);
      return [
        ...faults.map(({ write, detail }) => ({ ...step, write: { ...step.write, ...write }, faultDetail: detail })),
        ...correctSteps(data, stepOf),
      ];
    },
  );
}

export const sampleCases: readonly OpCase[] = [
  ...[1, 7, 50, 1000].map((size) => sampleCase(`[R, ${size}]`, () => makeData({ vocabSize: size }), correctSteps)),
  ...[7, 50, 1000].map((size) => sampleCase(`[R, ${size}], ties`, () => makeData({ vocabSize: size, ties: true }), correctSteps)),
  sampleCase("[R, 200], no edits", () => makeData({ vocabSize: 200, numEdits: 0 }), correctSteps),
  sampleCase(
    "[3, 32000], ties",
    () => makeData({ vocabSize: 32_000, ties: true, choices: [2, 12, 22].map((index) => parameterChoices[index]!), numRows: 3 }),
    allRows,
  ),
  sampleCase("equal logits at the edges of the steps", edgeData, allRows),
  sampleCase("[R, 64], infinite logits", infiniteData, allRows),
  sampleCase(
    "[R, 300], mirostat over 6 draws",
    () => makeData({ vocabSize: 300, choices: mirostatChoices, numRows: 9 }),
    (data, stepOf) => mirostatSteps(data, stepOf),
  ),
  faultCase("a NaN logit", [{ write: { logits: new Float32Array(50).fill(1).fill(Number.NaN, 17, 18) }, detail: "" }]),
  faultCase(
    "an edit of an id outside",
    [50, -2].map((id) => ({ write: { editIds: Int32Array.of(3, id, -1) }, detail: `${id}` })),
  ),
  sampleCase(
    "[R, 1000], ties, batch-invariant",
    () => makeData({ vocabSize: 1000, ties: true }),
    (_, stepOf) =>
      invarianceSteps(maxBatchSize, stepOf, (outputs, place) => [
        outputs.tokenIds!.subarray(place, place + 1),
        outputs.surpriseLimits!.subarray(place, place + 1),
      ]),
  ),
];
