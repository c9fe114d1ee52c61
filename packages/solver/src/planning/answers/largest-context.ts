import type { OffloadPlan } from "@thermocline/spec";
import { largestThat } from "../bisection.js";
import { createPlan } from "../create-plan.js";
import { fits } from "../find-placement.js";
import type { PlanRequest } from "../plan-request.js";

export interface LargestContext {
  readonly contextLength: number;
  readonly plan: OffloadPlan;
}

/**
 * The longest context that fits, to the token, everything else as asked; a context length of the request is not looked at. Every cache
 * grows with the context and nothing shrinks, so what fits at one length fits at all shorter ones.
 * @throws InfeasiblePlanError where not even the workload, or a single token where none is given, fits; else as `createPlan`.
 */
export async function largestContext(request: PlanRequest): Promise<LargestContext> {
  const withContext = (contextLength: number): PlanRequest => ({ ...request, settings: { ...request.settings, contextLength } });
  const { promptTokens = 0, outputTokens = 0, contextDepth = 0 } = request.workload ?? {};
  const most = request.demandModel.model.contextLength;
  const least = Math.min(most, Math.max(1, promptTokens + outputTokens + contextDepth));
  const found = await largestThat(least, most, (contextLength) => fits(withContext(contextLength)));
  // Where nothing fits, the plan for the shortest says what is missing.
  const contextLength = found ?? least;
  return { contextLength, plan: await createPlan(withContext(contextLength)) };
}
