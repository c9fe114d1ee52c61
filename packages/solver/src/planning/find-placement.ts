/** Every placement of a request that is worth comparing, and whether there is one at all. */
import { type DeviceId, type MemoryDemand, type OffloadUnit, ThermoclineError } from "@thermocline/spec";
import type { PricedProblem } from "../pricing/priced-problem.js";
import { placeRivals } from "./compare-strategies.js";
import { placeOnFewerDevices, preferFewerDevices } from "./fewer-devices.js";
import { type PlacedModel, placeModel } from "./place-model.js";
import { type PlanContext, preparePlan } from "./plan-context.js";
import type { PlanRequest } from "./plan-request.js";
import { type DeviceBytes, overheadBounds } from "./planning-problem.js";
import { placeHastily, placersOf } from "./solve-placement.js";
import { takeTurn } from "./take-turn.js";

export type FoundPlacement =
  | {
      readonly status: "placed";
      /** What was asked for: the fastest of all, or what ties with it on fewer devices; or that of the strategy. */
      readonly chosen: PlacedModel;
      readonly rivals: readonly PlacedModel[];
      /** Both, and what the solver found where a rival was faster: fastest first. */
      readonly ranked: readonly PlacedModel[];
      readonly priced: PricedProblem;
      /** No placement takes fewer seconds for the workload beside the overheads that were counted. */
      readonly boundSeconds: number;
      readonly limitBytes: DeviceBytes;
    }
  | { readonly status: "infeasible"; readonly missingBytes: Readonly<Record<DeviceId, number>> };

export async function findPlacement(context: PlanContext): Promise<FoundPlacement> {
  const isFree = (context.request.strategy ?? "plan") === "plan";
  const found = await placeModel(context, placersOf(context.request));
  if (found.status === "infeasible" && !isFree) return found;
  const limitBytes = found.status === "placed" ? found.limitBytes : ownLimits(context);
  const { rivals, priced } = placeRivals(context, limitBytes, found.status === "placed" ? found.overheadBytes : overheadBounds(context));
  const own = found.status === "placed" ? [found.placed] : [];
  // Who asks for an exact answer wants the fastest.
  const mayTie = isFree && context.request.solver !== "exact";
  const fewer = mayTie && own[0] !== undefined ? await placeOnFewerDevices(context, own[0]) : undefined;
  const seconds = ({ predicted }: PlacedModel) => predicted.workloadSeconds;
  // The sort is stable: among equals the solver's own comes first.
  const ranked = [...own, ...(fewer === undefined ? [] : [fewer]), ...rivals].sort((a, b) => seconds(a) - seconds(b));
  const [fastest] = ranked;
  const chosen = mayTie ? preferFewerDevices(ranked, rivals) : isFree ? fastest : own[0];
  if (chosen === undefined) return found as Extract<typeof found, { status: "infeasible" }>;
  const boundSeconds = Math.min(own[0]?.boundSeconds ?? 0, ...(fastest === undefined ? [] : [seconds(fastest)]));
  return { status: "placed", chosen, rivals, ranked, priced, boundSeconds, limitBytes };
}

function ownLimits({ limits: { devices, shared } }: PlanContext): DeviceBytes {
  const isShared = (id: DeviceId) => shared?.devices.includes(id) === true;
  return new Map(
    devices.map(({ device: { id }, limitBytes }) => [id, isShared(id) ? Math.min(limitBytes, shared!.limitBytes) : limitBytes]),
  );
}

/**
 * Whether `createPlan` finds a plan, without its comparison and account. What it refuses, a workload beyond the context or a pin that
 * cannot be kept, does not fit.
 * @param isThorough The answer is what `createPlan` would find, which takes up to seconds where devices are nearly full; else these may
 * count as too small.
 */
export async function fits(request: PlanRequest, isThorough = false): Promise<boolean> {
  await takeTurn(request.signal);
  try {
    return await hasPlacement(request, isThorough);
  } catch (error) {
    if (ThermoclineError.isInstance(error)) return false;
    throw error;
  }
}

async function hasPlacement(request: PlanRequest, isThorough: boolean): Promise<boolean> {
  const context = preparePlan(request);
  if (!mayFit(context)) return false;
  const isFree = (request.strategy ?? "plan") === "plan";
  // Strategies are quicker than a solver, and mostly one of them fits where anything does.
  if (isFree && placeRivals(context, ownLimits(context), overheadBounds(context)).rivals.length > 0) return true;
  const quick = isThorough || !isFree ? placersOf(request).quick : placeHastily;
  return (await placeModel(context, { quick, thorough: () => undefined })).status === "placed";
}

/** False where the devices together do not even have the bytes of all units: no solver need be asked. */
function mayFit({ demand, limits: { devices } }: PlanContext): boolean {
  const leastBytes = demand.units.reduce((sum, unit) => sum + leastBytesOf(demand, unit), 0);
  return leastBytes <= devices.reduce((sum, { limitBytes }) => sum + limitBytes, 0);
}

/** On the device where it takes the fewest, whole or block by block, beside the unit that it shares bytes with. */
function leastBytesOf({ devices }: MemoryDemand, { id, rows }: OffloadUnit): number {
  const numBlocks = rows === undefined ? 0 : Math.ceil(rows.count / rows.blockSize);
  const bytes = Object.values(devices).flatMap(({ units }) => {
    const { weightBytes, kvCacheBytes, part, shared } = units[id] ?? {};
    if (weightBytes === undefined) return [];
    const ownBytes = weightBytes - (shared?.byteLength ?? 0);
    return Math.min(ownBytes, part === undefined ? ownBytes : numBlocks * part.bytesPerBlock) + kvCacheBytes!;
  });
  return bytes.length === 0 ? 0 : Math.min(...bytes);
}
