import { blank, invarianceSteps } from "../batch-invariance.js";
import { expectClose } from "../comparison.js";
import { functionRoundoff, gamma, unitRoundoff } from "../error-bounds.js";
import type { OpCase, OpPlan, OpStep } from "../op-case.js";
import { Random } from "../random.js";
import { cacheIndex, cacheView, emptyCache, type KvCache, type KvDType, storeVector } from "./kv-cache-data.js";

interface Heads {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDimK: number;
  readonly headDimV: number;
}

/** Tokens in the cache, and how many of them, the last ones, are queries of this step. */
type SequencePlan = readonly [contextLength: number, numQueries: number];

interface AttentionShape extends Heads {
  readonly keyDType: KvDType;
  readonly valueDType: KvDType;
  readonly blockSize: number;
  readonly slidingWindow: number;
  /** Absent: none. */
  readonly softcap?: number;
  /** Absent: true. */
  readonly causal?: boolean;
  readonly sequences: readonly SequencePlan[];
}

interface AttentionData {
  readonly q: Float32Array;
  readonly qStride: number;
  readonly numBlocks: number;
  /** [numSequences][block index]: ids in random order; -1 behind the context and where no query of the sequence looks. */
  readonly tables: readonly Int32Array[];
  readonly maxBlocks: number;
  /** NaN where no query looks. */
  readonly keys: KvCache;
  readonly values: KvCache;
  /** Of each query row: its sequence and position. */
  readonly queries: readonly (readonly [sequence: number, position: number])[];
}

/** The first position that a query sees, and the end of those that it sees. */
function positionsSeen({ slidingWindow, causal = true }: AttentionShape, position: number, contextLength: number): [number, number] {
  return [slidingWindow > 0 ? Math.max(0, position - slidingWindow + 1) : 0, causal ? position + 1 : contextLength];
}

function makeData(shape: AttentionShape): AttentionData {
  const { numHeads, numKvHeads, headDimK, headDimV, blockSize, sequences } = shape;
  const random = new Random(numHeads * 1000 + headDimK + blockSize);
  const firstSeenOf = ([contextLength, numQueries]: SequencePlan) => positionsSeen(shape, contextLength - numQueries, contextLength)[0];
  const blocksOf = ([contextLength]: SequencePlan) => Math.ceil(contextLength / blockSize);
  const numBlocks = sequences.reduce((sum, sequence) => sum + blocksOf(sequence), 0) + 3;
  const maxBlocks = Math.max(1, ...sequences.map(blocksOf)) + 1;
  const ids = random.permutation(numBlocks);
  const tables = sequences.map((sequence) => {
    const table = new Int32Array(maxBlocks).fill(-1);
    table.set(ids.splice(0, blocksOf(sequence)));
    return table.fill(-1, 0, Math.floor(firstSeenOf(sequence) / blockSize));
  });
  const cacheShape = { numBlocks, numKvHeads, blockSize };
  const keys = emptyCache(shape.keyDType, cacheShape, headDimK);
  const values = emptyCache(shape.valueDType, cacheShape, headDimV);
  for (const [sequence, [contextLength, numQueries]] of sequences.entries())
    for (let position = firstSeenOf([contextLength, numQueries]); position < contextLength; position++)
      for (let head = 0; head < numKvHeads; head++) {
        const slot = tables[sequence]![Math.floor(position / blockSize)]! * blockSize + (position % blockSize);
        storeVector(keys, slot, head, random.normals(headDimK));
        storeVector(values, slot, head, random.normals(headDimV));
      }
  const queries = sequences.flatMap(([contextLength, numQueries], sequence) =>
    Array.from({ length: numQueries }, (_, row) => [sequence, contextLength - numQueries + row] as const),
  );
  const qStride = numHeads * headDimK + 64;
  return { q: random.normals(Math.max(1, queries.length) * qStride), qStride, numBlocks, tables, maxBlocks, keys, values, queries };
}

/** Scores grow with the head's dimension so that a softmax is neither flat nor one-hot. */
const scaleOf = ({ headDimK }: Heads) => 1.5 / Math.sqrt(headDimK);

/**
 * Exact attention of one query head, with the bound of a float32 flash attention over n keys:
 * - a score s is off by γ(D + 2) · scale · Σ|q||k|; a cap c · tanh(s / c), whose slope is 1 at most, adds its own error, 4u, and one rounding
 *   before and one behind it, all relative to |s|. Its exponential is off by that, 4u, and 6u · (range of the scores) for the rounding of
 *   arguments, rescaling included: ε_j relative;
 * - sums of n terms rescaled at most n times: γ(3n + 8) relative to Σ p|v|, in numerator and denominator;
 * - together Σ p_j ε_j |v_j| + |out| Σ p_j ε_j + 2 γ(3n + 8) Σ p_j |v_j|.
 */
function attend(shape: AttentionShape, data: AttentionData, row: number, head: number, out: Float64Array, tolerance: Float64Array): void {
  const { numHeads, numKvHeads, headDimK, headDimV, blockSize, softcap = 0 } = shape;
  const [sequence, position] = data.queries[row]!;
  const kvHead = Math.floor(head / (numHeads / numKvHeads));
  const query = data.q.subarray(row * data.qStride + head * headDimK, row * data.qStride + (head + 1) * headDimK);
  const scale = scaleOf(shape);
  const keysSeen = [];
  const [firstSeen, endSeen] = positionsSeen(shape, position, shape.sequences[sequence]![0]);
  for (let seen = firstSeen; seen < endSeen; seen++) {
    const slot = data.tables[sequence]![Math.floor(seen / blockSize)]! * blockSize + (seen % blockSize);
    const cacheShape = { numBlocks: data.numBlocks, numKvHeads, blockSize };
    const keyAt = cacheIndex(cacheShape, headDimK, slot, kvHead);
    let dot = 0;
    let magnitude = 0;
    for (let i = 0; i < headDimK; i++) {
      const product = query[i]! * data.keys.values[keyAt + i]!;
      dot += product;
      magnitude += Math.abs(product);
    }
    const scaled = scale * dot;
    const score = softcap > 0 ? softcap * Math.tanh(scaled / softcap) : scaled;
    const capError = softcap > 0 ? (functionRoundoff + 2 * unitRoundoff) * Math.abs(scaled) : 0;
    const scoreError = gamma(headDimK + 2) * scale * magnitude + capError;
    keysSeen.push({ score, scoreError, valueAt: cacheIndex(cacheShape, headDimV, slot, kvHead) });
  }
  const largest = Math.max(...keysSeen.map(({ score }) => score));
  const range = largest - Math.min(...keysSeen.map(({ score }) => score));
  const total = keysSeen.reduce((sum, { score }) => sum + Math.exp(score - largest), 0);
  const weights = keysSeen.map(({ score, scoreError, valueAt }) => ({
    p: Math.exp(score - largest) / total,
    relative: scoreError + functionRoundoff + 6 * unitRoundoff * range,
    valueAt,
  }));
  const summed = gamma(3 * weights.length + 8);
  const normalisation = weights.reduce((sum, { p, relative }) => sum + p * relative, 0);
  for (let i = 0; i < headDimV; i++) {
    let value = 0;
    let numeratorError = 0;
    for (const { p, relative, valueAt } of weights) {
      value += p * data.values.values[valueAt + i]!;
      numeratorError += p * Math.abs(data.values.values[valueAt + i]!) * (relative + 2 * summed);
    }
    out[i] = value;
    tolerance[i] = numeratorError + Math.abs(value) * normalisation;
  }
}

function attentionPlan(shape: AttentionShape, stepsOf: (data: AttentionData) => readonly OpStep[]): OpPlan {
  const { numHeads, headDimK, headDimV, slidingWindow, softcap, causal, sequences } = shape;
  const data = makeData(shape);
  const { maxBlocks, qStride } = data;
  const numRows = Math.max(1, data.queries.length);
  // Room for every query as a sequence of its own, as the batch-invariance case needs it; one entry is needed beyond the sequences.
  const blockTables = new Int32Array(numRows * maxBlocks).fill(-1);
  for (const [sequence, table] of data.tables.entries()) blockTables.set(table, sequence * maxBlocks);
  const contextLengths = new Int32Array(numRows);
  contextLengths.set(sequences.map(([contextLength]) => contextLength));
  const queryStarts = new Int32Array(numRows + 3).fill(-1);
  queryStarts[0] = 0;
  for (const [sequence, [, numQueries]] of sequences.entries()) queryStarts[sequence + 1] = queryStarts[sequence]! + numQueries;
  return {
    arrays: {
      out: blank(numRows * numHeads * headDimV),
      q: data.q,
      keyCache: data.keys.array,
      valueCache: data.values.array,
      blockTables,
      contextLengths,
      queryStarts,
    },
    outputs: ["out"],
    views: {
      out: { array: "out", shape: ["numTokens", numHeads, headDimV] },
      q: { array: "q", shape: ["numTokens", numHeads, headDimK], rowStride: qStride },
      keyCache: cacheView("keyCache", data.keys),
      valueCache: cacheView("valueCache", data.values),
      blockTables: { array: "blockTables", shape: ["numSequences", maxBlocks] },
      contextLengths: { array: "contextLengths", shape: ["numSequences"] },
      queryStarts: { array: "queryStarts", shape: [queryStarts.length] },
    },
    record: (encoder, { out, q, keyCache, valueCache, blockTables: tables, contextLengths: lengths, queryStarts: starts }) =>
      encoder.attention(out!, q!, {
        keyCache: keyCache!,
        valueCache: valueCache!,
        blockTables: tables!,
        contextLengths: lengths!,
        queryStarts: starts!,
        scale: scaleOf(shape),
        ...(slidingWindow > 0 ? { slidingWindow } : {}),
        ...(softcap === undefined ? {} : { softcap }),
        ...(causal === undefined ? {} : { causal }),
      }),
    steps: stepsOf(data),
  };
}

/** The sequences as they are, then none at all. */
function correctSteps(shape: AttentionShape, data: AttentionData): OpStep[] {
  const rowLength = shape.numHeads * shape.headDimV;
  const numTokens = data.queries.length;
  const expected = new Float64Array(Math.max(1, numTokens) * rowLength).fill(Number.NaN);
  const tolerance = new Float64Array(expected.length);
  for (let row = 0; row < numTokens; row++)
    for (let head = 0; head < shape.numHeads; head++) {
      const first = row * rowLength + head * shape.headDimV;
      attend(shape, data, row, head, expected.subarray(first, first + shape.headDimV), tolerance.subarray(first, first + shape.headDimV));
    }
  const maxContextLength = Math.max(0, ...shape.sequences.map(([contextLength]) => contextLength));
  const untouched = new Float64Array(expected.length).fill(Number.NaN);
  return [
    {
      bindings: { numTokens, numSequences: shape.sequences.length, maxContextLength },
      check: (outputs) => expectClose("out", outputs.out!, expected, tolerance),
    },
    { check: (outputs) => expectClose("out", outputs.out!, untouched, tolerance) },
  ];
}

/** Every query as a decode of its own, of the context up to it, against batches of such decodes; then the chunks as they are. */
function invariantSteps(shape: AttentionShape, data: AttentionData): OpStep[] {
  const rowLength = shape.numHeads * shape.headDimV;
  const alone: Float32Array[] = [];
  const decodeOf = (rows: readonly number[]): OpStep => {
    const q = new Float32Array(rows.length * data.qStride);
    const blockTables = new Int32Array(rows.length * data.maxBlocks);
    for (const [place, row] of rows.entries()) {
      q.set(data.q.subarray(row * data.qStride, (row + 1) * data.qStride), place * data.qStride);
      blockTables.set(data.tables[data.queries[row]![0]]!, place * data.maxBlocks);
    }
    const contextLengths = Int32Array.from(rows, (row) => data.queries[row]![1] + 1);
    return {
      bindings: { numTokens: rows.length, numSequences: rows.length, maxContextLength: Math.max(...contextLengths) },
      write: { q, blockTables, contextLengths, queryStarts: Int32Array.from({ length: rows.length + 1 }, (_, index) => index) },
    };
  };
  const decodes = invarianceSteps(data.queries.length, decodeOf, (outputs, place) => [
    outputs.out!.subarray(place * rowLength, (place + 1) * rowLength),
  ]).map((step, index): OpStep => {
    // The first steps run each query by itself.
    if (index >= data.queries.length) return step;
    const check: OpStep["check"] = (outputs) => {
      alone[index] = (outputs.out as Float32Array).slice(0, rowLength);
      step.check?.(outputs);
    };
    return { ...step, check };
  });
  const [chunks] = correctSteps(shape, data);
  const sameAsAlone: OpStep = {
    ...chunks!,
    check(outputs) {
      const expected = Float64Array.from(alone.flatMap((row) => [...row]));
      expectClose("out in chunks against decodes", outputs.out!, expected, new Float64Array(expected.length));
    },
  };
  return [...decodes, sameAsAlone];
}

/** A block outside the cache, a context beyond its table, rows beyond the queries; then the backend still works. */
function faultSteps(shape: AttentionShape, data: AttentionData): OpStep[] {
  const [works] = correctSteps(shape, data);
  const one = { numTokens: 1, numSequences: 1, maxContextLength: 1 };
  const inputs = { contextLengths: Int32Array.of(1), queryStarts: Int32Array.of(0, 1) };
  const tooLong = data.maxBlocks * shape.blockSize + 1;
  return [
    { bindings: one, write: { ...inputs, blockTables: Int32Array.of(data.numBlocks) }, faultDetail: `${data.numBlocks}` },
    { bindings: one, write: { ...inputs, blockTables: Int32Array.of(-1) }, faultDetail: "-1" },
    { bindings: one, write: { ...inputs, contextLengths: Int32Array.of(tooLong) }, faultDetail: `${tooLong}` },
    { bindings: one, write: { ...inputs, queryStarts: Int32Array.of(0, 2) }, faultDetail: "" },
    works!,
  ];
}

const decodes: readonly SequencePlan[] = [
  [1, 1],
  [7, 1],
  [16, 1],
  [17, 1],
  [40, 1],
];
const mixed: readonly SequencePlan[] = [
  [20, 8],
  [33, 1],
  [5, 5],
  [1, 1],
  [12, 3],
  [48, 17],
];
const prefill: readonly SequencePlan[] = [[33, 33]];

const headsList: readonly Heads[] = [
  { numHeads: 1, numKvHeads: 1, headDimK: 16, headDimV: 16 },
  { numHeads: 4, numKvHeads: 2, headDimK: 64, headDimV: 64 },
  { numHeads: 6, numKvHeads: 2, headDimK: 48, headDimV: 48 },
  { numHeads: 8, numKvHeads: 1, headDimK: 128, headDimV: 128 },
  { numHeads: 3, numKvHeads: 3, headDimK: 24, headDimV: 40 },
];

const f16 = { keyDType: "f16", valueDType: "f16" } as const;
const f32 = { keyDType: "f32", valueDType: "f32" } as const;
const grouped = { ...headsList[1]!, blockSize: 16, slidingWindow: 0 };

const floatShapes: readonly AttentionShape[] = [
  ...headsList.map((heads) => ({ ...f16, ...heads, blockSize: 16, slidingWindow: 0, sequences: mixed })),
  { ...f16, ...grouped, sequences: decodes },
  { ...f16, ...headsList[2]!, blockSize: 32, slidingWindow: 0, sequences: prefill },
  { ...f16, ...grouped, blockSize: 5, sequences: mixed },
  ...[1, 7, 16, 100].map((slidingWindow) => ({ ...f16, ...grouped, slidingWindow, sequences: mixed })),
  { ...f32, ...headsList[0]!, blockSize: 16, slidingWindow: 0, sequences: mixed },
  { ...f32, ...grouped, sequences: mixed },
  { ...f32, ...headsList[4]!, blockSize: 5, slidingWindow: 7, sequences: mixed },
  { ...f32, ...grouped, sequences: decodes },
];

const variantShapes: readonly AttentionShape[] = [
  { ...f16, ...grouped, softcap: 2, sequences: mixed },
  { ...f32, ...headsList[2]!, blockSize: 16, slidingWindow: 7, softcap: 50, sequences: mixed },
  { ...f16, ...grouped, causal: false, sequences: mixed },
  { ...f32, ...headsList[0]!, blockSize: 5, slidingWindow: 7, causal: false, sequences: mixed },
];

const wide: Heads = { numHeads: 3, numKvHeads: 1, headDimK: 32, headDimV: 96 };
const pairs: readonly (readonly [KvDType, KvDType])[] = [
  ["q8_0", "q8_0"],
  ["q4_0", "q4_0"],
  ["f16", "q8_0"],
  ["q8_0", "q4_0"],
  ["q4_0", "f32"],
  ["f32", "f16"],
];
const pairedShapes: readonly AttentionShape[] = pairs.flatMap(([keyDType, valueDType]) => [
  { ...grouped, keyDType, valueDType, sequences: mixed },
  { ...wide, keyDType, valueDType, blockSize: 5, slidingWindow: 7, sequences: mixed },
]);

function title(shape: AttentionShape): string {
  const { keyDType, valueDType, numHeads, numKvHeads, headDimK, headDimV, blockSize, slidingWindow, softcap, causal, sequences } = shape;
  const dtypes = keyDType === valueDType ? keyDType : `${keyDType} and ${valueDType}`;
  const heads = `${numHeads} heads over ${numKvHeads}, ${headDimK} and ${headDimV}`;
  const window = slidingWindow > 0 ? `, window ${slidingWindow}` : "";
  const variant = `${softcap === undefined ? "" : `, softcap ${softcap}`}${causal === false ? ", not causal" : ""}`;
  const queries = sequences.map(([context, numQueries]) => `${numQueries}/${context}`).join(" ");
  return `${dtypes}, ${heads}, blocks of ${blockSize}${window}${variant}, ${queries}`;
}

type StepMaker = (shape: AttentionShape, data: AttentionData) => OpStep[];

function attentionCase(suffix: string, shape: AttentionShape, steps: StepMaker): OpCase {
  return {
    name: `attention ${title(shape)}${suffix}`,
    op: "attention",
    dtype: shape.keyDType,
    otherDType: shape.valueDType,
    plan: () => attentionPlan(shape, (data) => steps(shape, data)),
  };
}

const invariantShapes: readonly AttentionShape[] = [
  { ...f16, ...headsList[2]!, blockSize: 16, slidingWindow: 0, sequences: mixed },
  { ...f16, ...grouped, slidingWindow: 7, sequences: mixed },
  { ...f32, ...grouped, slidingWindow: 7, softcap: 3, sequences: mixed },
  { ...grouped, keyDType: "q8_0", valueDType: "q4_0", sequences: mixed },
  { ...wide, keyDType: "q4_0", valueDType: "q8_0", blockSize: 16, slidingWindow: 0, sequences: mixed },
];

export const attentionCases: readonly OpCase[] = [
  ...[...floatShapes, ...variantShapes, ...pairedShapes].map((shape) => attentionCase("", shape, correctSteps)),
  ...invariantShapes.map((shape) => attentionCase(", batch-invariant", shape, invariantSteps)),
  attentionCase(", bad tables are faults", floatShapes[0]!, faultSteps),
  attentionCase(", bad tables are faults", pairedShapes[1]!, faultSteps),
];
