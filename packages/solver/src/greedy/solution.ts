/** From what a search found to what a solver answers. */
import type { DeviceId, OffloadProblem, OffloadSolution } from "@thermocline/spec";
import { placementOf } from "../pricing/choice.js";
import { predictTimes } from "../pricing/predict-times.js";
import type { PricedProblem } from "../pricing/priced-problem.js";
import type { Candidate } from "./device-prices.js";

/** Relative gap within which a solution is called optimal unless the caller says otherwise. */
export const defaultGap = 1e-3;

/** Sums of seconds in another order differ by less than this. */
const rounding = 1e-9;

/** The solution's seconds are what `predictTimes` says. */
export function solutionOf(
  priced: PricedProblem,
  { choices }: Candidate,
  boundSeconds: number,
  gap: number,
): Extract<OffloadSolution, { readonly predicted: unknown }> {
  const { problem } = priced;
  const placement = placementOf(priced, choices);
  const predicted = predictTimes(problem, placement);
  // Both are sums in another order than the search's own.
  const bound = Math.min(boundSeconds, predicted.workloadSeconds);
  const reached = predicted.workloadSeconds === 0 ? 0 : (predicted.workloadSeconds - bound) / predicted.workloadSeconds;
  return { status: reached <= Math.max(gap, rounding) ? "optimal" : "feasible", placement, predicted, boundSeconds: bound, gap: reached };
}

/** What a placement takes beyond the budgets. */
export function missingBytesOf({ problem, budgetBytes }: PricedProblem, { bytes }: Candidate): Readonly<Record<DeviceId, number>> {
  const missing = problem.devices.map(({ id }: OffloadProblem["devices"][number], device): [DeviceId, number] => [
    id,
    Math.ceil(bytes[device]! - budgetBytes[device]!),
  ]);
  return Object.fromEntries(missing.filter(([, byteLength]) => byteLength > 0));
}
