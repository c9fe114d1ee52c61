/** A near-optimal placement in milliseconds, with a bound that says how near. */
import type { DeviceId, OffloadProblem, OffloadSolution, OffloadSolver } from "@thermocline/spec";
import { placementOf } from "../pricing/choice.js";
import { predictTimes } from "../pricing/predict-times.js";
import { type PricedProblem, priceProblem } from "../pricing/priced-problem.js";
import type { Candidate } from "./device-prices.js";
import { findPlacement } from "./find-placement.js";

/** Relative gap within which a solution is called optimal unless the caller says otherwise. */
export const defaultGap = 1e-3;

/**
 * Prices on the devices' bytes, then exchanges. It knows no time limit: it takes milliseconds.
 * @throws InvalidPlanError where a unit can lie on no device, InvalidRequestError where no link joins two devices.
 */
export const solveGreedy: OffloadSolver = async (problem, { gap = defaultGap, signal } = {}) => {
  signal?.throwIfAborted();
  const priced = priceProblem(problem);
  const { best, nearest, boundSeconds } = findPlacement(priced);
  if (best === undefined) return { status: "infeasible", missingBytes: missingBytesOf(priced, nearest!) };
  return solutionOf(priced, best, boundSeconds, gap);
};

export function solutionOf(priced: PricedProblem, { choices }: Candidate, boundSeconds: number, gap: number): OffloadSolution {
  const { problem } = priced;
  const placement = placementOf(priced, choices);
  const predicted = predictTimes(problem, placement);
  // Both are sums in another order than the search's own.
  const bound = Math.min(boundSeconds, predicted.workloadSeconds);
  const reached = predicted.workloadSeconds === 0 ? 0 : (predicted.workloadSeconds - bound) / predicted.workloadSeconds;
  return { status: reached <= gap ? "optimal" : "feasible", placement, predicted, boundSeconds: bound, gap: reached };
}

/** What a placement takes beyond the budgets. */
export function missingBytesOf({ problem, budgetBytes }: PricedProblem, { bytes }: Candidate): Readonly<Record<DeviceId, number>> {
  const missing = problem.devices.map(({ id }: OffloadProblem["devices"][number], device): [DeviceId, number] => [
    id,
    Math.ceil(bytes[device]! - budgetBytes[device]!),
  ]);
  return Object.fromEntries(missing.filter(([, byteLength]) => byteLength > 0));
}
