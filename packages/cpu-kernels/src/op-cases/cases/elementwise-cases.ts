import type { Activation } from "@thermocline/spec";
import { maxBatchSize } from "../batch-invariance.js";
import { exponentialError, functionRoundoff, underflowAllowance, unitRoundoff } from "../error-bounds.js";
import type { OpCase } from "../op-case.js";
import { Random } from "../random.js";
import { type RowProblem, rowCase, rowInvarianceCase } from "./row-case.js";

/** Value and absolute error bound of f32 arithmetic at x. */
type BoundedFunction = (x: number) => readonly [value: number, error: number];

const activations: Readonly<Record<Activation, BoundedFunction>> = {
  /** x / (1 + e^-x): the exponential's error passes at most once; a sum, a quotient and a reciprocal add 4 roundings. */
  silu(x) {
    const value = x / (1 + Math.exp(-x));
    return [value, Math.abs(value) * (exponentialError(x) + 4 * unitRoundoff) + underflowAllowance];
  },
  /**
   * ½ · x · (1 + tanh z): z is off by 8 roundings, of which tanh passes on 1 - tanh²; tanh itself and 1 + tanh by 8u absolute; where
   * tanh z nears -1 that error remains while the value vanishes.
   */
  gelu(x) {
    const z = Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3);
    const t = Math.tanh(z);
    const value = 0.5 * x * (1 + t);
    const tanhError = 8 * unitRoundoff * Math.abs(z) * (1 - t * t) + 2 * functionRoundoff;
    return [value, 0.5 * Math.abs(x) * tanhError + 4 * unitRoundoff * Math.abs(value) + underflowAllowance];
  },
  relu: (x) => [Math.max(x, 0), 0],
};

/** Values around zero, in the tails, and where exp overflows f32. */
function spreadValues(random: Random, count: number): Float32Array {
  const special = [0, -0, 1, -1, 20, -20, 90, -90, 200, -200, 1e-30, -1e-30];
  return Float32Array.from({ length: count }, (_, index) => special[index] ?? random.normal() * 4);
}

function activateProblem(activation: Activation, numColumns: number, hasUp: boolean): RowProblem {
  const random = new Random(numColumns);
  const gate = spreadValues(random, maxBatchSize * numColumns);
  const up = random.normals(gate.length);
  const bounded = Array.from(gate, (x) => activations[activation](x));
  const factor = (index: number) => (hasUp ? up[index]! : 1);
  return {
    inputs: { gate, up },
    numColumns,
    expected: Float64Array.from(bounded, ([value], index) => value * factor(index)),
    tolerance: Float64Array.from(
      bounded,
      ([value, error], index) => (error + unitRoundoff * Math.abs(value)) * Math.abs(factor(index)) + underflowAllowance,
    ),
    record: (encoder, { out, gate: gates, up: ups }) => encoder.activate(out!, gates!, hasUp ? ups : undefined, activation),
  };
}

/** One rounding: the correctly rounded sum and no other. */
function addProblem(numColumns: number): RowProblem {
  const random = new Random(numColumns);
  const a = random.normals(maxBatchSize * numColumns, 100);
  const b = random.normals(a.length);
  return {
    inputs: { a, b },
    numColumns,
    expected: Float64Array.from(a, (value, index) => Math.fround(value + b[index]!)),
    tolerance: new Float64Array(a.length),
    record: (encoder, { out, a: left, b: right }) => encoder.add(out!, left!, right!),
  };
}

/** cap · tanh(x / cap): the quotient's rounding is passed on by 1 - tanh²; tanh is off by 4u absolute, the product by u. */
function softcapProblem(numColumns: number, cap: number): RowProblem {
  const random = new Random(numColumns);
  const x = random.normals(maxBatchSize * numColumns, cap);
  const errorAt = (value: number) => {
    const t = Math.tanh(value / cap);
    return cap * (2 * unitRoundoff * Math.abs(value / cap) * (1 - t * t) + functionRoundoff + unitRoundoff * Math.abs(t));
  };
  return {
    inputs: { x },
    numColumns,
    expected: Float64Array.from(x, (value) => cap * Math.tanh(value / cap)),
    tolerance: Float64Array.from(x, errorAt),
    record: (encoder, { out, x: input }) => encoder.softcap(out!, input!, cap),
  };
}

function fillProblem(numColumns: number, value: number): RowProblem {
  const expected = new Float64Array(maxBatchSize * numColumns).fill(Math.fround(value));
  return {
    inputs: {},
    numColumns,
    expected,
    tolerance: new Float64Array(expected.length),
    record: (encoder, { out }) => encoder.fill(out!, value),
  };
}

const widths = [1, 7, 64, 101] as const;

export const elementwiseCases: readonly OpCase[] = [
  ...(["silu", "gelu", "relu"] as const).flatMap((activation) => [
    ...widths.map((width) =>
      rowCase("activate", "f32", `${activation} · up [T, ${width}]`, () => activateProblem(activation, width, true)),
    ),
    rowCase("activate", "f32", `${activation} [T, 101]`, () => activateProblem(activation, 101, false)),
    rowCase("activate", "f32", `${activation} · up [T, 48]`, () => activateProblem(activation, 48, true), { inPlace: "gate" }),
    rowCase("activate", "f32", `${activation} · up [T, 48]`, () => activateProblem(activation, 48, true), { rowGap: 16 }),
    rowInvarianceCase("activate", "f32", `${activation} · up [T, 101]`, () => activateProblem(activation, 101, true)),
  ]),
  ...widths.map((width) => rowCase("add", "f32", `[T, ${width}]`, () => addProblem(width))),
  rowCase("add", "f32", "[T, 48]", () => addProblem(48), { inPlace: "a" }),
  rowCase("add", "f32", "[T, 48]", () => addProblem(48), { rowGap: 16 }),
  rowInvarianceCase("add", "f32", "[T, 101]", () => addProblem(101)),
  ...widths.map((width) => rowCase("softcap", "f32", `[T, ${width}]`, () => softcapProblem(width, 30))),
  rowCase("softcap", "f32", "[T, 48]", () => softcapProblem(48, 50), { inPlace: "x" }),
  rowInvarianceCase("softcap", "f32", "[T, 101]", () => softcapProblem(101, 30)),
  ...widths.map((width) => rowCase("fill", "f32", `[T, ${width}] with 0.1`, () => fillProblem(width, 0.1))),
  rowCase("fill", "f32", "[T, 48] with 0", () => fillProblem(48, 0), { rowGap: 16 }),
];
