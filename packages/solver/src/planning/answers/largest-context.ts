import type { OffloadPlan } from "@thermocline/spec";
import { createPlan } from "../create-plan.js";
import { longestContext, withContextLength } from "../longest-context.js";
import type { PlanRequest } from "../plan-request.js";

export interface LargestContext {
  readonly contextLength: number;
  readonly plan: OffloadPlan;
}

/**
 * The longest context that fits, to the token, everything else as asked; a context length of the request is not looked at.
 * @throws InfeasiblePlanError where not even the workload, or a single token where none is given, fits; else as `createPlan`.
 */
export async function largestContext(request: PlanRequest): Promise<LargestContext> {
  const { promptTokens = 0, outputTokens = 0, contextDepth = 0 } = request.workload ?? {};
  const most = request.demandModel.model.contextLength;
  const least = Math.min(most, Math.max(1, promptTokens + outputTokens + contextDepth));
  const found = await longestContext(request, least, most);
  // Where nothing fits, the plan for the shortest says what is missing.
  const contextLength = found ?? least;
  return { contextLength, plan: await createPlan(withContextLength(request, contextLength)) };
}
