/** What answers a problem: one of the solvers, or a strategy. */
import type { OffloadProblem, OffloadSolution, Placement } from "@thermocline/spec";
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

/** Gap of greedy's answer from which the exact solver is asked although the problem is large. */
const wideGap = 0.01;
/** Places to be decided, below which the exact solver is quick. */
const smallProblem = 2000;

export function placerOf(request: PlanRequest): Placer {
  const { strategy = "plan" } = request;
  return strategy === "plan" ? (problem) => solve(problem, request) : (problem) => placeByStrategy(problem, strategy, request);
}

/** The quick solver alone: to learn whether something fits. */
export const placeQuickly: Placer = async (problem) => ({ ...(await solveGreedy(problem)), name: "greedy" });

async function solve(problem: OffloadProblem, request: PlanRequest): Promise<NamedSolution> {
  const { solver = "auto", gap = 1e-3, signal } = request;
  const options = { gap, ...(signal && { signal }) };
  const exactly = async (timeLimitMs: number): Promise<NamedSolution> => ({
    ...(await solveGreedy(problem, { ...options, timeLimitMs })),
    name: "greedy",
  });
  if (solver === "exact") return exactly(request.timeLimitMs ?? 10_000);
  const greedy: NamedSolution = { ...(await solveGreedy(problem, options)), name: "greedy" };
  if (solver === "greedy" || greedy.status === "infeasible" || greedy.gap <= gap) return greedy;
  if (greedy.gap < wideGap && numChoices(problem) > smallProblem) return greedy;
  const exact = await exactly(request.timeLimitMs ?? 2000);
  if (exact.status === "infeasible" || exact.predicted.workloadSeconds >= greedy.predicted.workloadSeconds) {
    const boundSeconds = exact.status === "infeasible" ? greedy.boundSeconds : Math.max(greedy.boundSeconds, exact.boundSeconds);
    return withBound(greedy, boundSeconds, gap);
  }
  return exact;
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

async function placeByStrategy(problem: OffloadProblem, strategy: RivalName, request: PlanRequest): Promise<NamedSolution> {
  const placement = rivals[strategy](priceProblem(problem));
  if (placement === undefined) return { status: "infeasible", missingBytes: missingBytesOf(problem, rivals[strategy]), name: strategy };
  const predicted = predictTimes(problem, placement);
  const bound = await solveGreedy(problem);
  const boundSeconds = bound.status === "infeasible" ? 0 : bound.boundSeconds;
  return withBound({ status: "feasible", placement, predicted, boundSeconds, gap: 1, name: strategy }, boundSeconds, request.gap ?? 1e-3);
}

/** Of the device with the largest budget, a GPU where there is one: the fewest bytes with which the strategy succeeds. */
function missingBytesOf(problem: OffloadProblem, place: (priced: PricedProblem) => Placement | undefined): Record<string, number> {
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
