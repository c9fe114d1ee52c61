import { type DeviceId, InfeasiblePlanError, type OffloadPlan } from "@thermocline/spec";
import { createPlanWithoutRemedy } from "../create-plan.js";
import { InvalidPinError } from "../pins.js";
import type { PlanRequest } from "../plan-request.js";
import { quickly, tokensPerSecondOf, withDeviceBytes } from "./device-bytes.js";

/** Of a device with so many bytes; the other members are missing where nothing fits. */
export interface BudgetPoint {
  readonly bytes: number;
  readonly plan?: OffloadPlan;
  readonly tokensPerSecond?: number;
  readonly timeToFirstTokenSeconds?: number;
}

/**
 * Predicted speeds over sizes of one device's memory, or of its budget where the request has one: what more of it would buy. Ascending. A
 * plan for less memory is also one for more, so that the workload takes at no point longer than at those before it.
 * @throws InvalidRequestError for a device that is not there or a size that is none; else as `createPlan`, but for what does not fit.
 */
export async function budgetCurve(request: PlanRequest, device: DeviceId, sizes: readonly number[]): Promise<readonly BudgetPoint[]> {
  const points: BudgetPoint[] = [];
  let best: OffloadPlan | undefined;
  for (const bytes of [...new Set(sizes)].sort((a, b) => a - b)) {
    const plan = await planIfItFits(withDeviceBytes(quickly(request), device, bytes));
    if (plan !== undefined && (best === undefined || secondsOf(plan) < secondsOf(best))) best = plan;
    points.push(best === undefined ? { bytes } : pointOf(bytes, best));
  }
  return points;
}

const secondsOf = ({ predicted }: OffloadPlan) => predicted!.workloadSeconds!;

function pointOf(bytes: number, plan: OffloadPlan): BudgetPoint {
  return { bytes, plan, tokensPerSecond: tokensPerSecondOf(plan), timeToFirstTokenSeconds: plan.predicted!.prefillSeconds };
}

/** Undefined where nothing fits, or a device is too small for what is pinned there. */
export async function planIfItFits(request: PlanRequest): Promise<OffloadPlan | undefined> {
  try {
    return await createPlanWithoutRemedy(request);
  } catch (error) {
    if (error instanceof InfeasiblePlanError || (error instanceof InvalidPinError && error.missingBytes !== undefined)) return undefined;
    throw error;
  }
}
