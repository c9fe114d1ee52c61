/** An optimal placement, to a gap that the caller names: HiGHS on a mixed-integer program, from greedy's placement and bound. */
import type { OffloadSolution, OffloadSolver, SolverOptions } from "@thermocline/spec";
import { type Candidate, candidateOf } from "../greedy/device-prices.js";
import { type FoundPlacement, findPlacement } from "../greedy/find-placement.js";
import { defaultGap, missingBytesOf, solutionOf } from "../greedy/solution.js";
import { type PricedProblem, priceProblem } from "../pricing/priced-problem.js";
import { fitPlacement } from "./fit-placement.js";
import { highsOptions } from "./highs-options.js";
import { createPlacementProgram } from "./placement-program.js";
import { solveInWorker, WorkerFailedError } from "./solver-worker.js";

const defaultTimeLimitMs = 10_000;
/** A small problem is searched through before HiGHS has begun; so many labels take about a millisecond. */
const labelsPerMs = 100;
/** It holds the thread up, so it ends after a second; HiGHS does not. */
const maxLabels = 100_000;

/**
 * Never worse than `solveGreedy`, whose answer it gives at once where that is within the gap. Where HiGHS cannot be run the answer is
 * greedy's too, with a `note` that says so.
 * @throws InvalidPlanError where a unit can lie on no device, InvalidRequestError where no link joins two devices, and the signal's reason
 * where it is aborted.
 */
export const solveExact: OffloadSolver = async (problem, options: SolverOptions = {}) => {
  options.signal?.throwIfAborted();
  const priced = priceProblem(problem);
  const found = findPlacement(priced, Math.min(labelsPerMs * (options.timeLimitMs ?? defaultTimeLimitMs), maxLabels));
  try {
    const start = found.best ?? (await fitPlacement(priced, found, options));
    if ("missingBytes" in start) return { status: "infeasible", missingBytes: start.missingBytes };
    return await improve(priced, found, start, options);
  } catch (error) {
    if (!(error instanceof WorkerFailedError)) throw error;
    return greedyAnswer(priced, found, options, `not solved exactly: ${error.message}`);
  }
};

async function improve(
  priced: PricedProblem,
  { boundSeconds }: FoundPlacement,
  start: Candidate,
  { gap = defaultGap, timeLimitMs = defaultTimeLimitMs, signal }: SolverOptions,
): Promise<OffloadSolution> {
  const greedy = solutionOf(priced, start, boundSeconds, gap);
  if (greedy.status === "optimal") return greedy;
  const program = createPlacementProgram(priced, "seconds", start.seconds);
  const request = { program: program.data, start: program.encode(start.choices), options: highsOptions(gap, timeLimitMs) };
  const { bound, values } = await solveInWorker(request, signal);
  const solved = values === undefined ? undefined : candidateOf(priced, program.decode(values));
  const isBetter = solved !== undefined && solved.seconds < start.seconds && isWithin(priced, solved);
  // HiGHS keeps to rows and whole numbers within 1e-9, of objectives of about 1e4.
  const solvedBound = bound * program.scale * (1 - 1e-9);
  return solutionOf(priced, isBetter ? solved : start, Math.max(boundSeconds, solvedBound), gap);
}

function isWithin({ budgetBytes }: PricedProblem, { bytes }: Candidate): boolean {
  return bytes.every((used, device) => used <= budgetBytes[device]!);
}

function greedyAnswer(
  priced: PricedProblem,
  { best, nearest, boundSeconds }: FoundPlacement,
  { gap = defaultGap }: SolverOptions,
  note: string,
): OffloadSolution {
  if (best === undefined) return { status: "infeasible", missingBytes: missingBytesOf(priced, nearest!), note };
  return { ...solutionOf(priced, best, boundSeconds, gap), note };
}
