/** A near-optimal placement in milliseconds, with a bound that says how near. */
import type { OffloadSolver, SolverOptions } from "@thermocline/spec";
import { fitPlacement } from "../exact/fit-placement.js";
import { WorkerFailedError } from "../exact/solver-worker.js";
import { priceProblem } from "../pricing/priced-problem.js";
import { findPlacement } from "./find-placement.js";
import { defaultGap, missingBytesOf, solutionOf } from "./solution.js";

/** A tenth of a second at most. */
const maxLabels = 50_000;

/**
 * Prices on the devices' bytes, then exchanges. Takes milliseconds; only where budgets are so tight that this finds no placement is HiGHS
 * asked whether there is one, within the time limit.
 * @throws InvalidPlanError where a unit can lie on no device, InvalidRequestError where no link joins two devices, and the signal's reason
 * where it is aborted.
 */
export const solveGreedy: OffloadSolver = async (problem, options: SolverOptions = {}) => {
  options.signal?.throwIfAborted();
  const { gap = defaultGap } = options;
  const priced = priceProblem(problem);
  const found = findPlacement(priced, maxLabels);
  if (found.best !== undefined) return solutionOf(priced, found.best, found.boundSeconds, gap);
  if (found.isInfeasible) return { status: "infeasible", missingBytes: missingBytesOf(priced, found.nearest!) };
  try {
    const fitted = await fitPlacement(priced, found, options);
    if ("missingBytes" in fitted) return { status: "infeasible", missingBytes: fitted.missingBytes };
    return solutionOf(priced, fitted, found.boundSeconds, gap);
  } catch (error) {
    if (!(error instanceof WorkerFailedError)) throw error;
    const note = `a placement may exist all the same: ${error.message}`;
    return { status: "infeasible", missingBytes: missingBytesOf(priced, found.nearest!), note };
  }
};
