/** The gate: strategies people use elsewhere, priced as the plan is, and side by side at several depths. */
import type { OffloadProblem, Placement, StrategyPrediction } from "@thermocline/spec";
import { predictTimes } from "../pricing/predict-times.js";
import { priceProblem } from "../pricing/priced-problem.js";
import { type PlacedModel, placedIfFits } from "./place-model.js";
import type { PlanContext } from "./plan-context.js";
import { type DeviceBytes, overheadBounds, problemOf } from "./planning-problem.js";
import { rivals } from "./solve-placement.js";

/** Depths at which strategies are compared, whatever the context length: short prompts and long ones rank them differently. */
export const comparedDepths = [128, 4096, 32_768] as const;

/** The fastest of each strategy that fits, in the order of `rivals`; one that does not fit at all is missing. */
export function placeRivals(context: PlanContext, limitBytes: DeviceBytes, overheadBytes: DeviceBytes): readonly PlacedModel[] {
  context.request.onProgress?.({ phase: "compare", detail: Object.keys(rivals).join(", ") });
  const numGpus = context.request.machine.devices.filter(({ kind }) => kind === "gpu").length;
  const names = Object.keys(rivals).filter((name) => name !== "autosplit" || numGpus > 1) as (keyof typeof rivals)[];
  // First with the room that the plan was found to have; what is too much for another placement's overhead, with the room that all have.
  const attempts = [overheadBytes, overheadBounds(context)].map((bytes) => priceProblem(problemOf(context, limitBytes, bytes)));
  return names.flatMap((name) => {
    for (const priced of attempts) {
      const placement = rivals[name](priced);
      const placed = placement && placedIfFits(context, name, placement, priced.problem, limitBytes);
      if (placed !== undefined) return [placed];
    }
    return [];
  });
}

/**
 * Speeds at each depth: of a prompt as long as the workload's that begins there, and of a step of the answer there. Depths beyond the
 * context length are priced too, as if there were memory for them.
 */
export function compareStrategies(
  problem: OffloadProblem,
  placements: readonly { readonly name: string; readonly placement: Placement }[],
): readonly StrategyPrediction[] {
  const { promptTokens, batch } = problem.workload;
  return placements.flatMap(({ name, placement }) =>
    comparedDepths.map((contextDepth): StrategyPrediction => {
      const prompt = { promptTokens: Math.max(1, promptTokens), outputTokens: 0, contextDepth, batch };
      const step = { promptTokens: 0, outputTokens: 1, contextDepth: contextDepth, batch };
      const { prefillSeconds } = predictTimes({ ...problem, workload: prompt }, placement);
      const { secondsPerToken } = predictTimes({ ...problem, workload: step }, placement);
      return {
        strategy: name,
        contextDepth,
        prefillTokensPerSecond: prompt.promptTokens / prefillSeconds,
        decodeTokensPerSecond: batch / secondsPerToken,
      };
    }),
  );
}
