import { type DeviceId, InvalidRequestError, type OffloadPlan, ThermoclineError } from "@thermocline/spec";
import { byteStepOf, smallestThat } from "../bisection.js";
import { preparePlan } from "../plan-context.js";
import type { PlanRequest } from "../plan-request.js";
import { overheadBounds } from "../planning-problem.js";
import { planIfItFits } from "./budget-curve.js";
import { quickly, tokensPerSecondOf, withDeviceBytes } from "./device-bytes.js";

/** Both must be met where both are there. */
export interface SpeedTarget {
  /** Of all sequences of the workload together. */
  readonly minTokensPerSecond?: number;
  readonly maxTimeToFirstTokenSeconds?: number;
}

export interface LeastBudget {
  /** Memory of the device, or its budget where the request has one. */
  readonly bytes: number;
  readonly plan: OffloadPlan;
  readonly tokensPerSecond: number;
  readonly timeToFirstTokenSeconds: number;
}

/** No size of the device is enough. */
export class TargetOutOfReachError extends ThermoclineError {
  readonly code = "target-out-of-reach";
  constructor(
    readonly device: DeviceId,
    readonly target: SpeedTarget,
    /** With room for the whole model on the device; undefined where even then nothing fits. */
    readonly reached: { readonly tokensPerSecond: number; readonly timeToFirstTokenSeconds: number } | undefined,
  ) {
    const best =
      reached === undefined
        ? "nothing fits whatever its size"
        : `with all of the model on it ${reached.tokensPerSecond.toFixed(2)} tok/s and ${reached.timeToFirstTokenSeconds.toFixed(2)} s to the first token are predicted`;
    super(`no size of ${device} meets the target: ${best}`, "lower the target, shorten the workload, or plan for a faster device");
  }
}

/**
 * The least memory of a device with which the predicted speeds meet a target, to one part in 4096 of what would hold the whole model. More
 * memory never predicts slower beyond the solver's gap, so that sizes can be bisected; the answer meets the target, and a step less does not.
 * @throws TargetOutOfReachError where no size is enough; InvalidRequestError for a target that is none; else as `createPlan`.
 */
export async function leastBudget(request: PlanRequest, device: DeviceId, target: SpeedTarget): Promise<LeastBudget> {
  checkTarget(target);
  const at = (bytes: number) => planIfItFits(withDeviceBytes(quickly(request), device, bytes));
  const plans = new Map<number, OffloadPlan>();
  const most = bytesForEverything(withDeviceBytes(request, device, roomForAnything), device);
  const found = await smallestThat(
    0,
    most,
    async (bytes) => {
      const plan = await at(bytes);
      if (plan !== undefined) plans.set(bytes, plan);
      return plan !== undefined && meets(plan, target);
    },
    byteStepOf(most),
  );
  if (found === undefined) throw new TargetOutOfReachError(device, target, plans.has(most) ? speedsOf(plans.get(most)!) : undefined);
  const plan = plans.get(found)!;
  return { bytes: found, plan, ...speedsOf(plan) };
}

function checkTarget({ minTokensPerSecond, maxTimeToFirstTokenSeconds }: SpeedTarget): void {
  for (const [name, value] of Object.entries({ minTokensPerSecond, maxTimeToFirstTokenSeconds }))
    if (value !== undefined && !(value > 0 && Number.isFinite(value)))
      throw new InvalidRequestError(name, value, `is ${value}`, "give a number above 0");
  if (minTokensPerSecond === undefined && maxTimeToFirstTokenSeconds === undefined)
    throw new InvalidRequestError("target", undefined, "asks for no speed", "give minTokensPerSecond, maxTimeToFirstTokenSeconds, or both");
}

const speedsOf = (plan: OffloadPlan) => ({
  tokensPerSecond: tokensPerSecondOf(plan),
  timeToFirstTokenSeconds: plan.predicted!.prefillSeconds,
});

function meets(plan: OffloadPlan, { minTokensPerSecond = 0, maxTimeToFirstTokenSeconds = Number.POSITIVE_INFINITY }: SpeedTarget): boolean {
  const { tokensPerSecond, timeToFirstTokenSeconds } = speedsOf(plan);
  return tokensPerSecond >= minTokensPerSecond && timeToFirstTokenSeconds <= maxTimeToFirstTokenSeconds;
}

const roomForAnything = 2 ** 50;

/** With the largest reserve that so much memory can have: a GiB or a tenth. */
function bytesForEverything(request: PlanRequest, device: DeviceId): number {
  const context = preparePlan(request);
  const units = Object.values(context.demand.devices[device]!.units);
  const unitBytes = units.reduce((sum, { weightBytes, kvCacheBytes }) => sum + weightBytes + kvCacheBytes, 0);
  const needBytes = unitBytes + overheadBounds(context).get(device)! + (request.budgets?.[device]?.reserveBytes ?? 0);
  return Math.ceil(Math.max(needBytes + 2 ** 30, needBytes / 0.9));
}
