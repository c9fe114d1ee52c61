import { type DType, InvalidRequestError, type OffloadPlan } from "@thermocline/spec";
import { createPlan } from "../create-plan.js";
import { fits } from "../find-placement.js";
import { kvTypesOf } from "../kv-types.js";
import type { PlanRequest } from "../plan-request.js";

export interface LargestKvType {
  /** Of keys and values alike. */
  readonly dtype: DType;
  readonly plan: OffloadPlan;
}

/**
 * The largest storage of keys and values that fits, among those that the machine's devices have; types that the request names are not
 * looked at.
 * @throws InfeasiblePlanError where not even the smallest fits; else as `createPlan`.
 */
export async function largestKvType(request: PlanRequest): Promise<LargestKvType> {
  const withType = (dtype: DType): PlanRequest => ({
    ...request,
    settings: { ...request.settings, keyCacheDType: dtype, valueCacheDType: dtype },
  });
  const types = kvTypesOf(request);
  const smallest = types.at(-1);
  if (smallest === undefined)
    throw new InvalidRequestError("traits", types, "name no type of KV cache", "add the traits of the machine's backends");
  for (const dtype of types) if (await fits(withType(dtype), true)) return { dtype, plan: await createPlan(withType(dtype)) };
  return { dtype: smallest, plan: await createPlan(withType(smallest)) };
}
