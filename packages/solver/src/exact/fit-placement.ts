/** Any placement within the budgets, where the greedy search found none; or the fewest bytes that are missing. */
import type { DeviceId, SolverOptions } from "@thermocline/spec";
import { type Candidate, candidateOf } from "../greedy/device-prices.js";
import type { FoundPlacement } from "../greedy/find-placement.js";
import { missingBytesOf } from "../greedy/solution.js";
import type { PricedProblem } from "../pricing/priced-problem.js";
import { highsOptions } from "./highs-options.js";
import { createPlacementProgram } from "./placement-program.js";
import { solveInWorker } from "./solver-worker.js";

const defaultTimeLimitMs = 10_000;
const gap = 1e-3;

/** @throws WorkerFailedError where HiGHS cannot be run. */
export async function fitPlacement(
  priced: PricedProblem,
  { nearest }: FoundPlacement,
  { timeLimitMs = defaultTimeLimitMs, signal }: SolverOptions,
): Promise<Candidate | { readonly missingBytes: Readonly<Record<DeviceId, number>> }> {
  const program = createPlacementProgram(priced, "missing-bytes", nearest!.seconds);
  const { values } = await solveInWorker({ program: program.data, options: highsOptions(gap, timeLimitMs) }, signal);
  const solved = values === undefined ? undefined : candidateOf(priced, program.decode(values));
  const closest = [nearest!, ...(solved === undefined ? [] : [solved])].sort((a, b) => excess(priced, a) - excess(priced, b))[0]!;
  return excess(priced, closest) === 0 ? closest : { missingBytes: missingBytesOf(priced, closest) };
}

function excess(priced: PricedProblem, candidate: Candidate): number {
  return Object.values(missingBytesOf(priced, candidate)).reduce((sum, bytes) => sum + bytes, 0);
}
