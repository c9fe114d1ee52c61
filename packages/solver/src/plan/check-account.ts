/** Whether what a plan states beside its placement is consistent: budgets, bytes, settings and workload. */
import { InvalidPlanError, type OffloadPlan, type OffloadPlanUnit, type OffloadUnit } from "@thermocline/spec";

/**
 * @param contextLength Longest context of the model; absent: what the plan's summary says.
 * @throws InvalidPlanError naming the field at fault.
 */
export function checkAccount(plan: OffloadPlan, units: readonly OffloadUnit[], contextLength?: number): void {
  checkReserves(plan);
  plan.units.forEach(checkKvCacheBytes);
  if (plan.bytes !== undefined) {
    checkTotals(plan, plan.bytes);
    checkEveryUnitIsNamed(plan, units);
  }
  checkContext(plan, contextLength ?? plan.summary?.contextLength);
  checkWorkload(plan);
}

function checkReserves({ devices }: OffloadPlan): void {
  for (const [id, { budgetBytes, reserveBytes }] of Object.entries(devices)) {
    if (budgetBytes !== undefined && reserveBytes !== undefined && reserveBytes > budgetBytes)
      throw new InvalidPlanError(
        `devices["${id}"].reserveBytes`,
        `is ${reserveBytes}, more than the budget of ${budgetBytes} bytes`,
        "lower the reserve or raise the budget",
      );
  }
}

function checkKvCacheBytes({ id, device, byteLength, kvCacheByteLength = 0 }: OffloadPlanUnit): void {
  if (byteLength !== undefined && kvCacheByteLength > byteLength)
    throw new InvalidPlanError(
      `unit ${id}`,
      `states ${kvCacheByteLength} bytes of KV cache among ${byteLength} bytes on ${device}`,
      'correct "byteLength", which counts the KV cache too, or leave both out',
    );
}

function checkTotals({ devices }: OffloadPlan, bytes: NonNullable<OffloadPlan["bytes"]>): void {
  for (const [id, classes] of Object.entries(bytes)) {
    const { budgetBytes, reserveBytes = 0 } = devices[id]!;
    if (budgetBytes === undefined) continue;
    // Bytes of the class "reserve" are the standing reserve, written out.
    const taken = Object.entries(classes).reduce((sum, [name, byteLength]) => sum + (name === "reserve" ? 0 : byteLength), 0);
    const kept = Math.max(reserveBytes, classes.reserve ?? 0);
    if (taken + kept > budgetBytes) {
      const beside = kept > 0 ? ` beside a reserve of ${kept}` : "";
      throw new InvalidPlanError(
        `bytes["${id}"]`,
        `sum to ${taken}${beside}, more than the budget of ${budgetBytes} bytes`,
        "place less on the device, raise its budget, or make a new plan",
      );
    }
  }
}

function checkEveryUnitIsNamed(plan: OffloadPlan, units: readonly OffloadUnit[]): void {
  const named = new Set(plan.units.map(({ id }) => id));
  const missing = units.find(({ id }) => !named.has(id));
  if (missing !== undefined)
    throw new InvalidPlanError(
      `unit ${missing.id}`,
      "is missing, though the plan states the bytes of the whole model",
      `add an entry for it, or remove "bytes" to leave it to the first device, ${Object.keys(plan.devices)[0]}`,
    );
}

function checkContext({ settings }: OffloadPlan, limit: number | undefined): void {
  const contextLength = settings?.contextLength;
  if (contextLength !== undefined && limit !== undefined && contextLength > limit)
    throw new InvalidPlanError(
      "settings.contextLength",
      `is ${contextLength}, the model was trained for ${limit}`,
      `write at most ${limit}`,
    );
}

function checkWorkload({ settings: { contextLength, maxSequences } = {}, workload }: OffloadPlan): void {
  if (workload === undefined) return;
  const tokens = workload.contextDepth + workload.promptTokens + workload.outputTokens;
  if (contextLength !== undefined && tokens > contextLength)
    throw new InvalidPlanError(
      "workload",
      `takes a sequence to ${tokens} tokens, past the context of ${contextLength}`,
      "shorten the prompt, the answer or the depth, or raise settings.contextLength",
    );
  if (maxSequences !== undefined && workload.batch > maxSequences)
    throw new InvalidPlanError(
      "workload.batch",
      `is ${workload.batch}, the settings allow ${maxSequences} at a time`,
      "lower it, or raise settings.maxSequences",
    );
}
