/**
 * The `sample` op against probabilities worked out by hand: for each rule thousands of draws over the same logits are counted and compared by
 * chi-square. Draws are a fixed sequence, so a test passes or fails for good; the bounds are those that a correct sampler with other seeds
 * would exceed once in a million.
 */
import { type Backend, type DeviceBuffer, samplingColumns, type Tensor } from "@thermocline/spec";
import { afterAll, describe, expect, it } from "vitest";
import { createCpuBackend } from "../src/index.js";
import { createReferenceBackend } from "../src/reference/index.js";
import { allocate, bindings, hasAddon, ledgerFor, plain, record } from "./native-fixture.js";

/** Chi-square's quantiles of 1 - 10^-6 for 1 to 5 degrees of freedom. */
const chiSquareBounds = [Number.NaN, 23.93, 27.63, 30.66, 33.38, 35.89];
const numDraws = 4096;

/** Probabilities of the tokens by id; in order .40 (id 2), .25 (id 5), .15 (id 0), .10 (id 3), .06 (id 1), .04 (id 4). */
const probabilities = [0.15, 0.06, 0.4, 0.1, 0.04, 0.25];
const logits = Float32Array.from(probabilities, Math.log);

type Parameters = Partial<Record<(typeof samplingColumns)[number], number>>;

const off: Required<Parameters> = {
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

/** Id, penalty, bias. */
type Edit = readonly [id: number, penalty: number, bias: number];

interface Rule {
  readonly parameters: Parameters;
  readonly edits?: readonly Edit[];
  /** By id; 0 for a token that must never come. */
  readonly expected: readonly number[];
}

/** A list of `sample` over `numRows` copies of the logits, and its tensors. */
class Sampler implements Disposable {
  readonly #buffer: DeviceBuffer;
  readonly #tensors: Readonly<Record<string, Tensor>>;
  readonly #numRows: number;

  constructor(
    readonly backend: Backend,
    numRows: number,
    { parameters, edits = [] }: Pick<Rule, "parameters" | "edits">,
  ) {
    this.#numRows = numRows;
    const columns = logits.length;
    const workspaceBytes = backend.traits.workspaceByteLength({ op: "sample", dtype: "f32", rows: numRows, columns });
    const shapes = {
      tokenIds: [numRows],
      logits: [numRows, columns],
      params: [numRows, samplingColumns.length],
      randomState: [numRows, 2],
      editIds: [numRows, edits.length],
      editValues: [numRows, 2 * edits.length],
      surpriseLimits: [numRows],
      workspace: [workspaceBytes],
    };
    const integers = new Set(["tokenIds", "randomState", "editIds"]);
    const byteLengthOf = (name: string, shape: readonly number[]) =>
      shape.reduce((product, dim) => product * dim, name === "workspace" ? 1 : 4);
    const padded = (byteLength: number) => Math.ceil(byteLength / 64) * 64;
    const total = Object.entries(shapes).reduce((sum, [name, shape]) => sum + padded(byteLengthOf(name, shape)), 64);
    this.#buffer = allocate(ledgerFor(backend.device.id), backend, total);
    const tensors: Record<string, Tensor> = {};
    let offset = 0;
    for (const [name, shape] of Object.entries(shapes)) {
      tensors[name] = plain(this.#buffer, shape, name === "workspace" ? "i8" : integers.has(name) ? "i32" : "f32", offset);
      offset += padded(byteLengthOf(name, shape));
    }
    this.#tensors = tensors;
    const repeated = <T>(row: readonly T[]) => Array.from({ length: numRows }, () => row).flat();
    this.#write("logits", Float32Array.from(repeated([...logits])));
    const values = { ...off, ...parameters };
    this.#write("params", Float32Array.from(repeated(samplingColumns.map((name) => values[name]))));
    this.#write("editIds", Int32Array.from(repeated(edits.map(([id]) => id))));
    this.#write("editValues", Float32Array.from(repeated(edits.flatMap(([, penalty, bias]) => [penalty, bias]))));
  }

  /** Row r draws with seed `seedOf(r)` and number `drawOf(r)`. */
  async draw(seedOf: (row: number) => number, drawOf: (row: number) => number, surpriseLimits: Float32Array): Promise<Int32Array> {
    const rows = Array.from({ length: this.#numRows }, (_, row) => row);
    this.#write("randomState", Int32Array.from(rows.flatMap((row) => [seedOf(row), drawOf(row)])));
    this.#write("surpriseLimits", surpriseLimits);
    const { tokenIds, logits: from, workspace, ...args } = this.#tensors;
    using list = record(this.backend, (encoder) =>
      encoder.sample(tokenIds!, from!, {
        params: args.params!,
        randomState: args.randomState!,
        editIds: args.editIds!,
        editValues: args.editValues!,
        surpriseLimits: args.surpriseLimits!,
        ...(workspace!.shape[0] === 0 ? {} : { workspace: workspace! }),
      }),
    );
    await this.backend.submit(list, bindings({ numOutputRows: this.#numRows })).done;
    const drawn = new Int32Array(this.#numRows);
    await this.backend.read(tokenIds!, new Uint8Array(drawn.buffer));
    await this.backend.read(args.surpriseLimits!, new Uint8Array(surpriseLimits.buffer));
    return drawn;
  }

  [Symbol.dispose](): void {
    this.#buffer[Symbol.dispose]();
  }

  #write(name: string, values: Float32Array | Int32Array): void {
    if (values.length > 0) this.backend.write(this.#tensors[name]!, new Uint8Array(values.buffer));
  }
}

async function countsOf(backend: Backend, rule: Rule): Promise<number[]> {
  using sampler = new Sampler(backend, numDraws, rule);
  const drawn = await sampler.draw(
    () => 20_261_120,
    (row) => row,
    new Float32Array(numDraws).fill(2.5),
  );
  const counts = new Array<number>(logits.length).fill(0);
  for (const id of drawn) counts[id]!++;
  return counts;
}

function expectDistribution(counts: readonly number[], expected: readonly number[]): void {
  expect(
    expected.reduce((sum, p) => sum + p, 0),
    "the expected probabilities",
  ).toBeCloseTo(1, 5);
  const possible = expected.flatMap((p, id) => (p > 0 ? [id] : []));
  const impossible = counts.filter((_, id) => expected[id] === 0);
  expect(
    impossible.every((count) => count === 0),
    `${counts} where ${expected} is expected`,
  ).toBe(true);
  const chiSquare = possible.reduce((sum, id) => sum + (counts[id]! - numDraws * expected[id]!) ** 2 / (numDraws * expected[id]!), 0);
  if (possible.length > 1) expect(chiSquare, `${counts} where ${expected} is expected`).toBeLessThan(chiSquareBounds[possible.length - 1]!);
}

/** What is left of .40, .25, .15 alone, divided by their sum .80. */
const bestThree = [0.1875, 0, 0.5, 0, 0, 0.3125];
/** .40 and .25 divided by .65. */
const bestTwo = [0, 0, 0.615385, 0, 0, 0.384615];

const rules: Readonly<Record<string, Rule>> = {
  "nothing but the draw": { parameters: {}, expected: probabilities },
  // Squares .16 .0625 .0225 .01 .0036 .0016, sum .2602.
  "temperature ½": { parameters: { temperature: 0.5 }, expected: [0.086472, 0.013836, 0.614912, 0.038432, 0.006149, 0.2402] },
  "temperature 0": { parameters: { temperature: 0 }, expected: [0, 0, 1, 0, 0, 0] },
  "top-k of 3": { parameters: { topK: 3 }, expected: bestThree },
  // .40 + .25 + .15 + .10 = .90 is the first sum to reach .85.
  "top-p of .85": { parameters: { topP: 0.85 }, expected: [0.166667, 0, 0.444444, 0.111111, 0, 0.277778] },
  // A share of .3 of .40 is .12.
  "min-p of .3": { parameters: { minP: 0.3 }, expected: bestThree },
  // Entropy 1.5255 nats; |-ln p - 1.5255| is .609 .139 .372 .777 1.288 1.693 in order: .25, then .15, whose sum .40 exceeds .35.
  "typical-p of .35, which drops the most likely": { parameters: { typicalP: 0.35 }, expected: [0.375, 0, 0, 0, 0, 0.625] },
  // As above: .25, .15, .40, whose sum .80 is the first to exceed .5.
  "typical-p of .5": { parameters: { typicalP: 0.5 }, expected: bestThree },
  // σ² of the six logits is .62548, σ .79087; the best is -.91629, so that logits from -1.70716 on stay: -1.38629 does, -1.89712 does not.
  "top-n-sigma of 1": { parameters: { topNSigma: 1 }, expected: bestTwo },
  // From -2.10260 on: -1.89712 stays as well.
  "top-n-sigma of 1.5": { parameters: { topNSigma: 1.5 }, expected: bestThree },
  // .40 and .25 are top choices: .40 goes, and .60 is left.
  "XTC at .2, always": { parameters: { xtcProbability: 1, xtcThreshold: 0.2 }, expected: [0.25, 0.1, 0, 0.166667, 0.066667, 0.416667] },
  // The mean of that and of the whole.
  "XTC at .2, half of the time": {
    parameters: { xtcProbability: 0.5, xtcThreshold: 0.2 },
    expected: [0.2, 0.08, 0.2, 0.133333, 0.053333, 0.333333],
  },
  "XTC above .5, where there is one top choice at most": { parameters: { xtcProbability: 1, xtcThreshold: 0.51 }, expected: probabilities },
  // Surprises of 1.32 and 2 bits are below the limit of 2.5, one of 2.74 is not.
  "mirostat with a limit of 2.5 bits": { parameters: { mirostatTau: 3, topK: 1, minP: 1 }, expected: bestTwo },
  // The best one's -∞ leaves .60.
  "a ban of the most likely": {
    parameters: {},
    edits: [[2, 1, Number.NEGATIVE_INFINITY]],
    expected: [0.25, 0.1, 0, 0.166667, 0.066667, 0.416667],
  },
  // .25 doubles to .50 of 1.25.
  "a bias of ln 2": { parameters: {}, edits: [[5, 1, Math.LN2]], expected: [0.12, 0.048, 0.32, 0.08, 0.032, 0.4] },
  // ln .40, doubled because it is negative, is ln .16: .16 of .76.
  "a penalty of 2": {
    parameters: {},
    edits: [
      [2, 2, 0],
      [-1, 9, 9],
    ],
    expected: [0.197368, 0.078947, 0.210526, 0.131579, 0.052632, 0.328947],
  },
  // Of the four .4444 .2778 .1667 .1111 three reach .85; of all six it would be four.
  "top-k of 4 before top-p of .85": { parameters: { topK: 4, topP: 0.85 }, expected: bestThree },
  // Top-p keeps .40 .25 .15 of the probabilities as they are; their roots .63246 .5 .3873 sum to 1.51975. Flattened first it would keep four.
  "top-p of .75 before temperature 2": { parameters: { topP: 0.75, temperature: 2 }, expected: [0.254842, 0, 0.416157, 0, 0, 0.329001] },
  // Typical-p leaves .25 and .15, of which .375 / .625 = .6 of the best is dropped by min-p.
  "typical-p of .35 before min-p of .7": { parameters: { typicalP: 0.35, minP: 0.7 }, expected: [0, 0, 0, 0, 0, 1] },
  // Of the three .5 .3125 .1875 two are top choices at .3: of all six only .40 would be.
  "top-k of 3 before XTC at .3": { parameters: { topK: 3, xtcProbability: 1, xtcThreshold: 0.3 }, expected: [0.375, 0, 0, 0, 0, 0.625] },
};

const backends = { reference: () => createReferenceBackend(), ...(hasAddon ? { native: () => createCpuBackend({ threads: 2 }) } : {}) };

describe.each(Object.entries(backends))("sampling on the %s backend", (_, createBackend) => {
  const backend = createBackend();
  afterAll(() => backend[Symbol.asyncDispose]());

  it.each(Object.entries(rules))("draws as often as probabilities say: %s", async (_name, rule) => {
    expectDistribution(await countsOf(backend, rule), rule.expected);
  });

  it("gives equal rows equal tokens, and other seeds other ones", async () => {
    using sampler = new Sampler(backend, 64, { parameters: {} });
    const limits = new Float32Array(64);
    const draws = (seed: number) =>
      sampler.draw(
        () => seed,
        (row) => row,
        limits,
      );
    const first = await draws(7);
    expect(await draws(7)).toEqual(first);
    expect(await draws(8)).not.toEqual(first);
  });

  it("moves mirostat's limit by the surprise of what was drawn", async () => {
    using sampler = new Sampler(backend, 64, { parameters: { mirostatTau: 3, mirostatEta: 0.1 } });
    const limits = new Float32Array(64).fill(2.5);
    const drawn = await sampler.draw(
      () => 1,
      (row) => row,
      limits,
    );
    // -log2 .615385 = .70044 and -log2 .384615 = 1.378512 bits: 2.5 - .1 · (surprise - 3).
    expect(new Set(drawn)).toEqual(new Set([2, 5]));
    for (const [row, id] of drawn.entries()) expect(limits[row]).toBeCloseTo(id === 2 ? 2.729956 : 2.662149, 5);
  });

  it("brings mirostat's mean surprise to its target", async () => {
    const [numSteps, numRows, tau, eta, firstLimit] = [300, 16, 1.5, 0.2, 8];
    using sampler = new Sampler(backend, numRows, { parameters: { mirostatTau: tau, mirostatEta: eta } });
    const surprises = probabilities.map((p) => -Math.log2(p));
    const limits = new Float32Array(numRows).fill(firstLimit);
    let surpriseSum = 0;
    for (let step = 0; step < numSteps; step++) {
      const before = limits.slice();
      const drawn = await sampler.draw(
        (row) => row,
        () => step,
        limits,
      );
      for (const [row, id] of drawn.entries()) {
        const kept = probabilities.filter((p, other) => surprises[other]! <= before[row]! || p === 0.4);
        surpriseSum += surprises[id]! + Math.log2(kept.reduce((sum, p) => sum + p, 0));
      }
    }
    // Each step moves the limit by eta · (tau - surprise), so that the mean is off by (first - last limit) / (eta · steps) exactly. A limit
    // below 1.32 leaves the best alone, whose surprise of 0 raises it; no draw lowers it by more than eta · (4.65 - tau).
    const lowestLimit = 1.32 - eta * (4.65 - tau);
    const mean = surpriseSum / (numSteps * numRows);
    expect(Math.abs(mean - tau)).toBeLessThan((firstLimit - lowestLimit) / (eta * numSteps));
  });
});
