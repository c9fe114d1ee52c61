/** The planner: from a model, a machine and wishes to a plan that fits and is no slower than any strategy it knows. */
import { InfeasiblePlanError, type OffloadPlan, type PlanSolver } from "@thermocline/spec";
import { assemblePlan } from "./assemble-plan.js";
import { compareStrategies } from "./compare-strategies.js";
import { type FoundPlacement, findPlacement } from "./find-placement.js";
import { infeasiblePlanError } from "./find-remedy.js";
import type { PlacedModel } from "./place-model.js";
import { reasonsOf } from "./placement-reasons.js";
import { type PlanContext, preparePlan } from "./plan-context.js";
import type { PlanRequest } from "./plan-request.js";

/**
 * Plans a model on a machine. The plan fits to the byte wherever the model's demand is exact, takes at most the predicted seconds of every
 * strategy for the workload, and names for each unit its device, bytes, seconds and reason.
 * @throws InvalidRequestError for a request that cannot be, InvalidPinError for pins that cannot be kept.
 * @throws InfeasiblePlanError where nothing fits, with the bytes that are missing and one change that has been tried and fits.
 */
export async function createPlan(request: PlanRequest): Promise<OffloadPlan> {
  const { context, found } = await placeOrRefuse(request);
  return planOf(context, found, found.chosen);
}

/** `createPlan` for questions that ask many times: an error for what does not fit comes without the search for a remedy. */
export async function createPlanWithoutRemedy(request: PlanRequest): Promise<OffloadPlan> {
  const context = preparePlan(request);
  const found = await findPlacement(context);
  if (found.status === "infeasible") throw new InfeasiblePlanError(found.missingBytes, "ask for less, or give the devices more bytes");
  return planOf(context, found, found.chosen);
}

/** Several devices filled alike with whole layers in order: `createPlan` with the strategy autosplit. All of it fits, or nothing is planned. */
export function createAutosplitPlan(request: PlanRequest): Promise<OffloadPlan> {
  return createPlan({ ...request, strategy: "autosplit" });
}

/**
 * The plan and its rivals as plans of their own, fastest predicted first: what to try on the machine itself. Of placements that are the same
 * only one is there.
 */
export async function createRankedPlans(request: PlanRequest): Promise<readonly OffloadPlan[]> {
  const { context, found } = await placeOrRefuse({ ...request, strategy: "plan" });
  const different = new Map<string, PlacedModel>();
  for (const placed of found.ranked) {
    const key = JSON.stringify([...placed.placement]);
    if (!different.has(key)) different.set(key, placed);
  }
  return [...different.values()].map((placed) => planOf(context, found, placed));
}

type Placed = Extract<FoundPlacement, { status: "placed" }>;

async function placeOrRefuse(request: PlanRequest): Promise<{ readonly context: PlanContext; readonly found: Placed }> {
  const context = preparePlan(request);
  const found = await findPlacement(context);
  if (found.status === "infeasible") throw await infeasiblePlanError(context, found.missingBytes);
  return { context, found };
}

function planOf(context: PlanContext, { rivals, ranked, priced, boundSeconds, limitBytes }: Placed, placed: PlacedModel): OffloadPlan {
  const reasonOf = reasonsOf(context, placed, priced, limitBytes, ranked[0]!.predicted.workloadSeconds);
  const comparison = compareStrategies(placed.problem, [{ ...placed, name: "plan" }, ...rivals]);
  return assemblePlan(context, { placed, limitBytes, solver: solverOf(context, placed, boundSeconds), comparison, reasonOf });
}

function solverOf({ request }: PlanContext, { name, predicted, note }: PlacedModel, boundSeconds: number): Omit<PlanSolver, "version"> {
  const { workloadSeconds } = predicted;
  const gap = workloadSeconds > 0 ? (workloadSeconds - boundSeconds) / workloadSeconds : 0;
  return { name, status: gap <= (request.gap ?? 1e-3) ? "optimal" : "feasible", boundSeconds, gap, ...(note !== undefined && { note }) };
}
