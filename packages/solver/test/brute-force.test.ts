import { afterAll, describe, expect, it } from "vitest";
import { highsOptions } from "../src/exact/highs-options.js";
import { createPlacementProgram } from "../src/exact/placement-program.js";
import { solveExact } from "../src/exact/solve-exact.js";
import { solveInWorker } from "../src/exact/solver-worker.js";
import { candidateOf } from "../src/greedy/device-prices.js";
import { findPlacement } from "../src/greedy/find-placement.js";
import { solveGreedy } from "../src/greedy/solve-greedy.js";
import { predictTimes } from "../src/pricing/predict-times.js";
import { priceProblem } from "../src/pricing/priced-problem.js";
import { bruteForce } from "./brute-force/brute-force.js";
import { randomProblem } from "./brute-force/random-problem.js";

const numProblems = 1000;
/** HiGHS takes a second for one of these, whatever its size; the others are solved without it. */
const numHighs = 6;
const exchangesOnly = 100;
/** Sums of the same seconds in another order. */
const rounding = 1e-9;

/** Seconds above the optimum, relative. */
const excesses: number[] = [];
const excessesOfExchanges: number[] = [];
const share = (values: readonly number[], most: number) => values.filter((value) => value <= most).length / values.length;

afterAll(() => {
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  console.info(
    `${excesses.length} random problems that fit: greedy is best in ${percent(share(excesses, rounding))}, ` +
      `within 1 % in ${percent(share(excesses, 0.01))}; its prices and exchanges alone in ` +
      `${percent(share(excessesOfExchanges, rounding))} and ${percent(share(excessesOfExchanges, 0.01))} of ${excessesOfExchanges.length}`,
  );
});

describe(`${numProblems} random problems of three devices, against every placement tried`, () => {
  const size = 50;
  it.each(Array.from({ length: numProblems / size }, (_, batch) => batch * size))(
    "exact is best, greedy near, its bound below: from %i",
    async (first) => {
      for (let seed = first; seed < first + size; seed++) {
        const problem = randomProblem(seed);
        const best = bruteForce(problem);
        const greedy = await solveGreedy(problem, { gap: 0 });
        if (best.seconds === undefined) {
          expect(greedy.status, `greedy, seed ${seed}`).toBe("infeasible");
          continue;
        }
        const optimum = best.seconds;
        expect(predictTimes(problem, best.placement!).workloadSeconds / optimum, `seed ${seed}`).toBeCloseTo(1, 9);
        const exact = await solveExact(problem, { gap: 0 });
        if (exact.status === "infeasible" || greedy.status === "infeasible")
          throw new Error(`seed ${seed}: nothing found where something fits`);
        expect(Math.abs(exact.predicted.workloadSeconds / optimum - 1), `exact, seed ${seed}`).toBeLessThan(rounding);
        expect(exact.status).toBe("optimal");
        expect(exact.boundSeconds / optimum, `exact's bound, seed ${seed}`).toBeLessThan(1 + rounding);
        expect(greedy.boundSeconds / optimum, `greedy's bound, seed ${seed}`).toBeLessThan(1 + rounding);
        expect(predictTimes(problem, exact.placement).workloadSeconds).toBe(exact.predicted.workloadSeconds);
        excesses.push(greedy.predicted.workloadSeconds / optimum - 1);
        if (excessesOfExchanges.length >= exchangesOnly) continue;
        const found = findPlacement(priceProblem(problem), 0);
        excessesOfExchanges.push((found.best?.seconds ?? Number.POSITIVE_INFINITY) / optimum - 1);
      }
    },
    240_000,
  );

  it("greedy is within 1 % of the optimum in 95 % of them", () => {
    expect(excesses.length).toBeGreaterThan(numProblems * 0.8);
    expect(share(excesses, 0.01)).toBeGreaterThanOrEqual(0.95);
  });
});

describe("HiGHS on the mixed-integer program", () => {
  it(`finds the optimum of ${numHighs} random problems, and no bound above it`, async () => {
    for (let seed = 2000, solved = 0; solved < numHighs; seed++) {
      const problem = randomProblem(seed);
      const { seconds: optimum } = bruteForce(problem);
      if (optimum === undefined) continue;
      solved++;
      const priced = priceProblem(problem);
      const start = findPlacement(priced, 0).best;
      if (start === undefined) throw new Error(`seed ${seed}: no start`);
      const program = createPlacementProgram(priced, "seconds", start.seconds);
      const request = { program: program.data, start: program.encode(start.choices), options: highsOptions(0, 60_000) };
      const { outcome, bound, values } = await solveInWorker(request);
      expect(outcome).toBe("optimal");
      const { seconds, bytes } = candidateOf(priced, program.decode(values!));
      expect(Math.abs(seconds / optimum - 1), `seed ${seed}`).toBeLessThan(rounding);
      expect((bound * program.scale) / optimum - 1, `bound, seed ${seed}`).toBeLessThan(rounding);
      for (const [device, used] of bytes.entries()) expect(used).toBeLessThanOrEqual(problem.devices[device]!.budgetBytes);
    }
  });
});
