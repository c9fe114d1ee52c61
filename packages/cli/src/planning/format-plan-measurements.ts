import type { Workload } from "@thermocline/spec";
import { formatTable } from "../format-table.js";
import type { PlanMeasurement, PlanMeasurements } from "./measure-plans.js";

/**
 * What was measured, a line a plan: speeds beside those that the plan predicts of its own workload, and the whole workload's seconds at the
 * measured speeds. No final newline.
 * @param names Of the plans, in their order; default: what made them.
 */
export function formatPlanMeasurements(
  { workload, measured, takesTurns, measurements, winner }: PlanMeasurements,
  names?: readonly string[],
): string {
  const rows = measurements.map((measurement, index) => {
    const { plan, prefillTokensPerSecond, decodeTokensPerSecond, workloadSeconds } = measurement;
    const predicted = predictedSpeedsOf(measurement);
    return [
      plan === winner ? "*" : "",
      names?.[index] ?? plan.solver?.name ?? `plan ${index + 1}`,
      prefillTokensPerSecond.toFixed(1),
      predicted?.prefillTokensPerSecond?.toFixed(1) ?? "",
      decodeTokensPerSecond.toFixed(2),
      predicted?.decodeTokensPerSecond.toFixed(2) ?? "",
      workloadSeconds.toFixed(2),
    ];
  });
  const header = ["", "plan", "prefill tok/s", "predicted", "decode tok/s", "predicted", "workload s"];
  const [{ rounds }] = measurements as readonly [PlanMeasurement];
  const turns = takesTurns ? "plans in turns" : "one plan after the other, since memory does not hold them together";
  return [
    `measured ${describe(measured)}; ${rounds.length} rounds, ${turns}`,
    `workload ${describe(workload)}, at the measured speeds; * takes the fewest seconds`,
    formatTable([header, ...rows], new Set([2, 3, 4, 5, 6])),
  ].join("\n");
}

function predictedSpeedsOf({ plan, predicted }: PlanMeasurement) {
  if (predicted === undefined || plan.workload === undefined) return undefined;
  const { promptTokens, batch } = plan.workload;
  return {
    // Without a prompt there is nothing to predict.
    prefillTokensPerSecond: promptTokens === 0 ? undefined : promptTokens / predicted.prefillSeconds,
    decodeTokensPerSecond: batch / predicted.secondsPerToken,
  };
}

function describe({ promptTokens, outputTokens, contextDepth, batch }: Workload): string {
  const sequences = batch === 1 ? "" : ` of ${batch} sequences`;
  return `${promptTokens} prompt and ${outputTokens} output tokens${sequences} behind ${contextDepth} others`;
}
