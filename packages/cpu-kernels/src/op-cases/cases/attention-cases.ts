import { blank, invarianceSteps } from "../batch-invariance.js";
import { expectClose } from "../comparison.js";
import { functionRoundoff, gamma, unitRoundoff } from "../error-bounds.js";
import type { OpCase, OpPlan, OpStep } from "../op-case.js";
import { Random } from "../random.js";
import { cachedValue, cacheIndex, encodeCache, type KvDType, kvDTypes } from "./kv-cache-data.js";

interface Heads {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDimK: number;
  readonly headDimV: number;
}

/** Tokens in the cache, and how many of them, the last ones, are queries of this step. */
type SequencePlan = readonly [contextLength: number, numQueries: number];

interface AttentionShape extends Heads {
  readonly blockSize: number;
  readonly slidingWindow: number;
  readonly sequences: readonly SequencePlan[];
}

interface AttentionData {
  readonly q: Float32Array;
  readonly qStride: number;
  readonly numBlocks: number;
  /** [numSequences][block index]: ids in random order; -1 behind the context. */
  readonly tables: readonly Int32Array[];
  readonly maxBlocks: number;
  /** As cached, free slots NaN. */
  readonly keys: Float64Array;
  readonly values: Float64Array;
  /** Of each query row: its sequence and position. */
  readonly queries: readonly (readonly [sequence: number, position: number])[];
}

function makeData(dtype: KvDType, shape: AttentionShape): AttentionData {
  const { numHeads, numKvHeads, headDimK, headDimV, blockSize, sequences } = shape;
  const random = new Random(numHeads * 1000 + headDimK + blockSize);
  const blocksOf = ([contextLength]: SequencePlan) => Math.ceil(contextLength / blockSize);
  const numBlocks = sequences.reduce((sum, sequence) => sum + blocksOf(sequence), 0) + 3;
  const maxBlocks = Math.max(1, ...sequences.map(blocksOf)) + 1;
  const ids = random.permutation(numBlocks);
  const tables = sequences.map((sequence) => {
    const table = new Int32Array(maxBlocks).fill(-1);
    table.set(ids.splice(0, blocksOf(sequence)));
    return table;
  });
  const keys = new Float64Array(numBlocks * numKvHeads * blockSize * headDimK).fill(Number.NaN);
  const values = new Float64Array(numBlocks * numKvHeads * blockSize * headDimV).fill(Number.NaN);
  const cacheShape = { numBlocks, numKvHeads, blockSize };
  for (const [sequence, [contextLength]] of sequences.entries())
    for (let position = 0; position < contextLength; position++)
      for (let head = 0; head < numKvHeads; head++) {
        const slot = tables[sequence]![Math.floor(position / blockSize)]! * blockSize + (position % blockSize);
        const keyAt = cacheIndex(cacheShape, headDimK, slot, head);
        const valueAt = cacheIndex(cacheShape, headDimV, slot, head);
        for (let i = 0; i < headDimK; i++) keys[keyAt + i] = cachedValue(dtype, random.normal());
        for (let i = 0; i < headDimV; i++) values[valueAt + i] = cachedValue(dtype, random.normal());
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
 * - a score is off by γ(D + 2) · scale · Σ|q||k|, and its exponential by that, 4u, and 6u · (range of the scores) for the rounding of
 *   arguments, rescaling included: ε_j relative;
 * - sums of n terms rescaled at most n times: γ(3n + 8) relative to Σ p|v|, in numerator and denominator;
 * - together Σ p_j ε_j |v_j| + |out| Σ p_j ε_j + 2 γ(3n + 8) Σ p_j |v_j|.
 */
function attend(shape: AttentionShape, data: AttentionData, row: number, head: number, out: Float64Array, tolerance: Float64Array): void {
  const { numHeads, numKvHeads, headDimK, headDimV, blockSize, slidingWindow } = shape;
  const [sequence, position] = data.queries[row]!;
  const kvHead = Math.floor(head / (numHeads / numKvHeads));
  const query = data.q.subarray(row * data.qStride + head * headDimK, row * data.qStride + (head + 1) * headDimK);
  const scale = scaleOf(shape);
  const keysSeen = [];
  for (let seen = 0; seen <= position; seen++) {
    if (slidingWindow > 0 && seen <= position - slidingWindow) continue;
    const slot = data.tables[sequence]![Math.floor(seen / blockSize)]! * blockSize + (seen % blockSize);
    const cacheShape = { numBlocks: data.numBlocks, numKvHeads, blockSize };
    const keyAt = cacheIndex(cacheShape, headDimK, slot, kvHead);
    let dot = 0;
    let magnitude = 0;
    for (let i = 0; i < headDimK; i++) {
      const product = query[i]! * data.keys[keyAt + i]!;
      dot += product;
      magnitude += Math.abs(product);
    }
    const score = scale * dot;
    const scoreError = gamma(headDimK + 2) * scale * magnitude;
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
      value += p * data.values[valueAt + i]!;
      numeratorError += p * Math.abs(data.values[valueAt + i]!) * (relative + 2 * summed);
    }
    out[i] = value;
    tolerance[i] = numeratorError + Math.abs(value) * normalisation;
  }
}

function attentionPlan(dtype: KvDType, shape: AttentionShape, stepsOf: (data: AttentionData) => readonly OpStep[]): OpPlan {
  const { numHeads, numKvHeads, headDimK, headDimV, blockSize, slidingWindow, sequences } = shape;
  const data = makeData(dtype, shape);
  const { numBlocks, maxBlocks, qStride } = data;
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
      keyCache: encodeCache(dtype, data.keys),
      valueCache: encodeCache(dtype, data.values),
      blockTables,
      contextLengths,
      queryStarts,
    },
    outputs: ["out"],
    views: {
      out: { array: "out", shape: ["numTokens", numHeads, headDimV] },
      q: { array: "q", shape: ["numTokens", numHeads, headDimK], rowStride: qStride },
      keyCache: { array: "keyCache", shape: [numBlocks, numKvHeads, blockSize, headDimK] },
      valueCache: { array: "valueCache", shape: [numBlocks, numKvHeads, blockSize, headDimV] },
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
  const decodes = invarianceSteps(data.queries.length, decodeOf, (outputs, place) => {
    const bits = (outputs.out as Float32Array).slice(place * rowLength, (place + 1) * rowLength);
    if (alone.length < data.queries.length) alone.push(bits);
    return [bits];
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

const shapes: readonly AttentionShape[] = [
  ...headsList.map((heads) => ({ ...heads, blockSize: 16, slidingWindow: 0, sequences: mixed })),
  { ...headsList[1]!, blockSize: 16, slidingWindow: 0, sequences: decodes },
  { ...headsList[2]!, blockSize: 32, slidingWindow: 0, sequences: prefill },
  { ...headsList[1]!, blockSize: 5, slidingWindow: 0, sequences: mixed },
  ...[1, 7, 16, 100].map((slidingWindow) => ({ ...headsList[1]!, blockSize: 16, slidingWindow, sequences: mixed })),
];

function title({ numHeads, numKvHeads, headDimK, headDimV, blockSize, slidingWindow, sequences }: AttentionShape): string {
  const heads = `${numHeads} heads over ${numKvHeads}, ${headDimK} and ${headDimV}`;
  const window = slidingWindow > 0 ? `, window ${slidingWindow}` : "";
  return `${heads}, blocks of ${blockSize}${window}, ${sequences.map(([context, queries]) => `${queries}/${context}`).join(" ")}`;
}

export const attentionCases: readonly OpCase[] = kvDTypes.flatMap((dtype) => {
  const make = (suffix: string, shape: AttentionShape, steps: (shape: AttentionShape, data: AttentionData) => OpStep[]): OpCase => ({
    name: `attention ${dtype}, ${title(shape)}${suffix}`,
    op: "attention",
    dtype,
    plan: () => attentionPlan(dtype, shape, (data) => steps(shape, data)),
  });
  return [
    ...shapes.map((shape) => make("", shape, correctSteps)),
    make(", batch-invariant", shapes[2]!, invariantSteps),
    make(", batch-invariant", { ...shapes[1]!, slidingWindow: 7 }, invariantSteps),
    make(", bad tables are faults", shapes[0]!, faultSteps),
  ];
});
