/** What answers a problem: one of the solvers, or a strategy. */
import type { OffloadProblem, OffloadSolution, Placement, SolverOptions } from "@thermocline/spec";
import { solveExact } from "../exact/solve-exact.js";
import { findPlacement } from "../greedy/find-placement.js";
import { defaultGap, missingBytesOf, solutionOf } from "../greedy/solution.js";
import { solveGreedy } from "../greedy/solve-greedy.js";
import { predictTimes } from "../pricing/predict-times.js";
import { type PricedProblem, priceProblem } from "../pricing/priced-problem.js";
import type { PlanRequest, StrategyName } from "./plan-request.js";
import { placeAutosplit } from "./strategies/autosplit.js";
import { placeFfnFirst } from "./strategies/ffn-first.js";
import { placeOnFastestDevice } from "./strategies/one-device.js";
import { placeWholeLayers } from "./strategies/whole-layer.js";

/** A placement of a problem, and who found it. */
export type NamedSolution = OffloadSolution & { readonly name: string };
export type Placer = (problem: OffloadProblem) => Promise<NamedSolution>;

type RivalName = Exclude<StrategyName, "plan">;

/** Undefined where a strategy's kind of placement does not fit. */
export const rivals: Readonly<Record<RivalName, (priced: PricedProblem) => Placement | undefined>> = {
  "one-device": placeOnFastestDevice,
  "whole-layer": placeWholeLayers,
  "ffn-first": placeFfnFirst,
  autosplit: placeAutosplit,
};

/** Milliseconds for what the quick search leaves open, where nobody says how long it may take. */
const quickLimitMs = 1000;
/**
 * Prices and exchanges alone: no proof where they find nothing, and so, in nearly full devices, no answer where there may be one. For
 * searches that ask many times.
 */
export const placeHastily: Placer = async (problem) => {
  const priced = priceProblem(problem);
  const { best, nearest, boundSeconds } = findPlacement(priced, 0);
  if (best !== undefined) return { ...solutionOf(priced, best, boundSeconds, defaultGap), name: "greedy" };
  return { status: "infeasible", missingBytes: nearest === undefined ? {} : missingBytesOf(priced, nearest), name: "greedy" };
};

/** Gap of greedy's answer from which the exact solver is asked although the problem is large. */
const wideGap = 0.01;
/** Places to be decided, below which the exact solver is quick. */
const smallProblem = 400;

/** How a request is answered: quickly in every round of counting bytes, and once more thoroughly at the end. */
export interface Placers {
  readonly quick: Placer;
  /** Undefined where it is not worth the time. @param gap Of the quick answer; 1 where there is none. */
  readonly thorough: (problem: OffloadProblem, gap: number) => Promise<NamedSolution> | undefined;
}

export function placersOf(request: PlanRequest): Placers {
  const { strategy = "plan", solver = "auto", signal } = request;
  const { gap = defaultGap, timeLimitMs = quickLimitMs } = request;
  const options = { gap, timeLimitMs, ...(signal && { signal }) };
  if (strategy !== "plan") return { quick: (problem) => placeByStrategy(problem, strategy, options), thorough: () => undefined };
  const quick: Placer = async (problem) => ({ ...(await solveGreedy(problem, options)), name: "greedy" });
  const exactly = async (problem: OffloadProblem, timeLimitMs: number): Promise<NamedSolution> => {
    return { ...(await solveExact(problem, { ...options, timeLimitMs })), name: "exact" };
  };
  switch (solver) {
    case "greedy":
      return { quick, thorough: () => undefined };
    case "exact":
      return { quick, thorough: (problem) => exactly(problem, request.timeLimitMs ?? 10_000) };
    case "auto": {
      const isWorthIt = (problem: OffloadProblem, gap: number) =>
        gap > options.gap && (gap >= wideGap || numChoices(problem) <= smallProblem);
      const thorough: Placers["thorough"] = (problem, gap) => (isWorthIt(problem, gap) ? exactly(problem, timeLimitMs) : undefined);
      return { quick, thorough };
    }
  }
}

function withBound(solution: NamedSolution, boundSeconds: number, gap: number): NamedSolution {
  if (solution.status === "infeasible") return solution;
  const seconds = solution.predicted.workloadSeconds;
  const reached = seconds > 0 ? Math.max(0, (seconds - boundSeconds) / seconds) : 0;
  return { ...solution, boundSeconds, gap: reached, status: reached <= gap ? "optimal" : "feasible" };
}

function numChoices({ units, devices, neuronsPerGroup = 64 }: OffloadProblem): number {
  const groups = units.reduce((sum, { kind, rows }) => {
    if (rows === undefined) return sum + 1;
    return sum + Math.ceil(rows.count / (kind === "experts" ? 1 : neuronsPerGroup));
  }, 0);
  return groups * devices.length;
}

async function placeByStrategy(
  problem: OffloadProblem,
  strategy: RivalName,
  options: SolverOptions & { readonly gap: number },
): Promise<NamedSolution> {
  const placement = rivals[strategy](priceProblem(problem));
  if (placement === undefined) return { status: "infeasible", missingBytes: bytesMissingFor(problem, rivals[strategy]), name: strategy };
  const predicted = predictTimes(problem, placement);
  const bound = await solveGreedy(problem, options);
  const boundSeconds = bound.status === "infeasible" ? 0 : bound.boundSeconds;
  return withBound({ status: "feasible", placement, predicted, boundSeconds, gap: 1, name: strategy }, boundSeconds, options.gap);
}

/** Of the device with the largest budget, a GPU where there is one: the fewest bytes with which the strategy succeeds. */
function bytesMissingFor(problem: OffloadProblem, place: (priced: PricedProblem) => Placement | undefined): Record<string, number> {
  const rank = ({ kind, budgetBytes }: OffloadProblem["devices"][number]) => (kind === "gpu" ? 2 ** 53 : 0) + budgetBytes;
  const [largest] = [...problem.devices].sort((a, b) => rank(b) - rank(a));
  const succeeds = (bytes: number) => {
    const devices = problem.devices.map((device) => (device === largest ? { ...device, budgetBytes: device.budgetBytes + bytes } : device));
    return place(priceProblem({ ...problem, devices })) !== undefined;
  };
  let enough = 1;
  while (!succeeds(enough) && enough < 2 ** 50) enough *= 2;
  for (let least = enough / 2; enough - least > 1; ) {
    const middle = Math.floor((least + enough) / 2);
    if (succeeds(middle)) enough = middle;
    else least = middle;
  }
  return { [largest!.id]: Math.ceil(enough) };
}
