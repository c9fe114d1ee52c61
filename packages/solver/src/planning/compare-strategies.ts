/** The gate: strategies people use elsewhere, priced as the plan is, and side by side at several depths. */
import type { OffloadProblem, PredictedTimes, StrategyPrediction, Workload } from "@thermocline/spec";
import { predictTimes } from "../pricing/predict-times.js";
import { type PricedProblem, priceProblem } from "../pricing/priced-problem.js";
import { type PlacedModel, placedIfFits } from "./place-model.js";
import type { PlanContext } from "./plan-context.js";
import { type DeviceBytes, overheadBounds, problemOf } from "./planning-problem.js";
import { rivals } from "./solve-placement.js";

/** Depths at which strategies are compared, whatever the context length: short prompts and long ones rank them differently. */
export const comparedDepths = [128, 4096, 32_768] as const;

export interface PlacedRivals {
  /** The fastest of each strategy that fits, in the order of `rivals`; one that does not fit at all is missing. */
  readonly rivals: readonly PlacedModel[];
  readonly priced: PricedProblem;
}

export function placeRivals(context: PlanContext, limitBytes: DeviceBytes, overheadBytes: DeviceBytes): PlacedRivals {
  context.request.onProgress?.({ phase: "compare", detail: Object.keys(rivals).join(", ") });
  const numGpus = context.request.machine.devices.filter(({ kind }) => kind === "gpu").length;
  const names = Object.keys(rivals).filter((name) => name !== "autosplit" || numGpus > 1) as (keyof typeof rivals)[];
  const priced = priceProblem(problemOf(context, limitBytes, overheadBytes));
  const inBounds = problemOf(context, limitBytes, overheadBounds(context));
  const together = withSharedRoom(context, priced.problem);
  const placed = names.flatMap((name) => {
    // With the room that there is where units that share bytes lie together, which is counted behind it; with the room that the plan was
    // found to have; where another placement's overhead is too much for that, with the room that all have.
    for (const problem of [...(together === undefined ? [] : [together]), priced.problem, inBounds]) {
      const budgetBytes = Float64Array.from(problem.devices, (device) => device.budgetBytes);
      const placement = rivals[name]({ ...priced, problem, budgetBytes });
      const model = placement && placedIfFits(context, name, placement, problem, limitBytes);
      if (model !== undefined) return [model];
    }
    return [];
  });
  return { rivals: placed, priced };
}

/** As if everything that shares bytes lay on each device; undefined where nothing does. */
function withSharedRoom({ demand }: PlanContext, problem: OffloadProblem): OffloadProblem | undefined {
  const sharedBytes = (id: string) =>
    Object.values(demand.devices[id]!.units).reduce((sum, { shared }) => sum + (shared?.byteLength ?? 0), 0);
  if (problem.devices.every(({ id }) => sharedBytes(id) === 0)) return undefined;
  const devices = problem.devices.map((device) => ({ ...device, budgetBytes: device.budgetBytes + sharedBytes(device.id) }));
  return { ...problem, devices };
}

/**
 * Speeds at each depth: of one prompt as long as the workload's that begins there, and of a step of the answer of all sequences there.
 * Depths beyond the context length are priced too, as if there were memory for them.
 */
export function compareStrategies(problem: OffloadProblem, placements: readonly PlacedModel[]): readonly StrategyPrediction[] {
  const workload = { ...problem.workload, promptTokens: Math.max(1, problem.workload.promptTokens) };
  // What depends on the depth are caches, which lie with whole units, and these add up.
  const cached = { ...problem, units: problem.units.filter(({ kvCache }) => kvCache !== undefined) };
  return placements.flatMap(({ name, placement, predicted: ofWorkload }) => {
    const predicted =
      workload.promptTokens === problem.workload.promptTokens ? ofWorkload : predictTimes({ ...problem, workload }, placement);
    const cacheTimes = (change: Partial<Workload>): PredictedTimes =>
      cached.units.length === 0
        ? { workloadSeconds: 0, prefillSeconds: 0, secondsPerToken: 0 }
        : predictTimes({ ...cached, workload: { ...workload, ...change } }, placement);
    const there = cacheTimes({});
    return comparedDepths.map((contextDepth): StrategyPrediction => {
      const prefill = cacheTimes({ contextDepth }).prefillSeconds - there.prefillSeconds;
      const decode = cacheTimes({ contextDepth, promptTokens: 0, outputTokens: 0 }).secondsPerToken - there.secondsPerToken;
      return {
        strategy: name,
        contextDepth,
        prefillTokensPerSecond: workload.promptTokens / (predicted.prefillSeconds + prefill),
        decodeTokensPerSecond: workload.batch / (predicted.secondsPerToken + decode),
      };
    });
  });
}
