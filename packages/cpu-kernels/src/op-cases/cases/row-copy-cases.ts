/** Ops that move values and change none: embed, gatherRows, copy. */
import { type DType, dtypes } from "@thermocline/spec";
import { batchSizes, blank, invarianceSteps, maxBatchSize, pickRows } from "../batch-invariance.js";
import { expectClose, expectSameBits } from "../comparison.js";
import { gamma } from "../error-bounds.js";
import { float16Bits, roundToFloat16 } from "../float16.js";
import type { OpCase, OpStep, PlainArray } from "../op-case.js";
import { Random } from "../random.js";
import { makeWeight, weightDTypes } from "../weight-data.js";

interface EmbedShape {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** Absent: not given to the op. */
  readonly scale?: number;
}

/** out[t] is the dequantised row to the bit, or that times a scale: the scale and the product are rounded. */
function embedPlan(dtype: DType, { vocabSize, hiddenSize, scale }: EmbedShape, invariance: boolean) {
  const random = new Random(vocabSize + hiddenSize);
  const table = makeWeight(random, dtype, [vocabSize, hiddenSize]);
  const tokenIds = random.integers(maxBatchSize, 0, vocabSize - 1);
  tokenIds.set([0, vocabSize - 1]);
  const stepOf = (rows: readonly number[]): OpStep => ({
    bindings: { numTokens: rows.length },
    write: { tokenIds: pickRows(tokenIds, 1, rows) },
  });
  const check = (size: number) => (outputs: Readonly<Record<string, PlainArray>>) => {
    const expected = new Float64Array(maxBatchSize * hiddenSize).fill(Number.NaN);
    for (let t = 0; t < size; t++) {
      const row = table.values.subarray(tokenIds[t]! * hiddenSize, (tokenIds[t]! + 1) * hiddenSize);
      expected.set(scale === undefined ? row : row.map((value) => value * scale), t * hiddenSize);
    }
    const relative = scale === undefined ? 0 : gamma(2);
    expectClose(
      "out",
      outputs.out!,
      expected,
      expected.map((value) => relative * Math.abs(value)),
    );
  };
  const faults = [-1, vocabSize].map(
    (id): OpStep => ({ bindings: { numTokens: 2 }, write: { tokenIds: Int32Array.of(0, id) }, faultDetail: `${id}` }),
  );
  const plain = batchSizes.map((size) => ({ ...stepOf(Array.from({ length: size }, (_, row) => row)), check: check(size) }));
  return {
    arrays: { out: blank(maxBatchSize * hiddenSize), tokenIds: new Int32Array(maxBatchSize) },
    outputs: ["out"],
    views: { out: { array: "out", shape: ["numTokens", hiddenSize] }, tokenIds: { array: "tokenIds", shape: ["numTokens"] } },
    weights: { table },
    record: (encoder, { out, table: rows, tokenIds: ids }) => encoder.embed(out!, rows!, ids!, ...(scale === undefined ? [] : [scale])),
    steps: invariance
      ? invarianceSteps(maxBatchSize, stepOf, (outputs, place) => [outputs.out!.subarray(place * hiddenSize, (place + 1) * hiddenSize)])
      : [...plain, ...faults, plain[1]!],
  } satisfies ReturnType<OpCase["plan"]>;
}

/** Types differ in how a block is read; what is around that is the same. */
function embedCases(dtype: DType): OpCase[] {
  const { blockSize } = dtypes[dtype];
  const whole = (columns: number) => Math.ceil(columns / blockSize) * blockSize;
  const shapes: readonly EmbedShape[] = [
    { vocabSize: 1, hiddenSize: whole(1) },
    { vocabSize: 17, hiddenSize: whole(33) },
    { vocabSize: 40, hiddenSize: whole(96), scale: Math.sqrt(2304) / 7 },
  ];
  const cases = shapes.map((shape) => ({
    name: `embed ${dtype} [${shape.vocabSize}, ${shape.hiddenSize}]${shape.scale === undefined ? "" : ", scaled"}, ids outside are faults`,
    op: "embed" as const,
    dtype,
    plan: () => embedPlan(dtype, shape, false),
  }));
  const invariance = {
    name: `embed ${dtype}, batch-invariant`,
    op: "embed" as const,
    dtype,
    plan: () => embedPlan(dtype, { vocabSize: 20, hiddenSize: whole(48), scale: 0.3 }, true),
  };
  return dtype === "f32" || dtype === "q8_0" || dtype === "q4_k" ? [...cases, invariance] : cases.slice(1);
}

function gatherPlan(numColumns: number, rowGap: number) {
  const random = new Random(numColumns);
  const stride = numColumns + rowGap;
  const x = random.normals(40 * stride);
  const rows = random.integers(maxBatchSize, 0, 39);
  rows.set([39, 0]);
  const steps = batchSizes.map((size): OpStep => {
    const expected = blank(maxBatchSize * numColumns);
    for (let r = 0; r < size; r++) expected.set(x.subarray(rows[r]! * stride, rows[r]! * stride + numColumns), r * numColumns);
    return { bindings: { numOutputRows: size, numTokens: 40 }, check: (outputs) => expectSameBits("out", outputs.out!, expected) };
  });
  const fault = (row: number): OpStep => ({
    bindings: { numOutputRows: 1, numTokens: 40 },
    write: { rows: Int32Array.of(row) },
    faultDetail: `${row}`,
  });
  return {
    arrays: { out: blank(maxBatchSize * numColumns), x, rows },
    outputs: ["out"],
    views: {
      out: { array: "out", shape: ["numOutputRows", numColumns] },
      x: { array: "x", shape: ["numTokens", numColumns], rowStride: stride },
      rows: { array: "rows", shape: ["numOutputRows"] },
    },
    record: (encoder, { out, x: from, rows: indices }) => encoder.gatherRows(out!, from!, indices!),
    steps: [...steps, fault(40), fault(-1), steps[3]!],
  } satisfies ReturnType<OpCase["plan"]>;
}

const copyArrays: Partial<Record<DType, (random: Random, length: number) => PlainArray>> = {
  f32: (random, length) => random.normals(length),
  i32: (random, length) => random.integers(length, -(2 ** 31), 2 ** 31 - 1),
  f16: (random, length) => Uint16Array.from({ length }, () => float16Bits(roundToFloat16(random.normal()))),
  i8: (random, length) => Uint8Array.from({ length }, () => random.integer(0, 255)),
};

/** Strided on both sides; gaps keep what they held. */
function copyPlan(dtype: DType, numColumns: number, toGap: number, fromGap: number) {
  const random = new Random(numColumns);
  const make = copyArrays[dtype]!;
  const to = make(random, maxBatchSize * (numColumns + toGap));
  const from = make(random, maxBatchSize * (numColumns + fromGap));
  const steps = batchSizes.map((size): OpStep => {
    const expected = to.slice();
    for (let row = 0; row < size; row++) {
      const first = row * (numColumns + fromGap);
      expected.set(from.subarray(first, first + numColumns), row * (numColumns + toGap));
    }
    return { bindings: { numTokens: size }, check: (outputs) => expectSameBits("to", outputs.to!, expected) };
  });
  return {
    arrays: { to, from },
    outputs: ["to"],
    views: {
      to: { array: "to", shape: ["numTokens", numColumns], ...(toGap > 0 ? { rowStride: numColumns + toGap } : {}) },
      from: { array: "from", shape: ["numTokens", numColumns], ...(fromGap > 0 ? { rowStride: numColumns + fromGap } : {}) },
    },
    record: (encoder, tensors) => encoder.copy(tensors.to!, tensors.from!),
    steps,
  } satisfies ReturnType<OpCase["plan"]>;
}

const copyCases = (Object.keys(copyArrays) as DType[]).flatMap((dtype) =>
  (
    [
      [1, 0, 0],
      [33, 0, 0],
      [48, 16, 0],
      [48, 0, 32],
    ] as const
  ).map(
    ([columns, toGap, fromGap]): OpCase => ({
      name: `copy ${dtype} [T, ${columns}]${toGap > 0 ? " to strided rows" : ""}${fromGap > 0 ? " from strided rows" : ""}`,
      op: "copy",
      dtype,
      plan: () => copyPlan(dtype, columns, toGap, fromGap),
    }),
  ),
);

export const rowCopyCases: readonly OpCase[] = [
  ...weightDTypes.flatMap(embedCases),
  ...(
    [
      [1, 0],
      [33, 0],
      [48, 16],
    ] as const
  ).map(
    ([columns, gap]): OpCase => ({
      name: `gatherRows [R, ${columns}]${gap > 0 ? " of strided rows" : ""}`,
      op: "gatherRows",
      dtype: "f32",
      plan: () => gatherPlan(columns, gap),
    }),
  ),
  ...copyCases,
];
