/** From a checked request to a placement whose every byte is within its limit. */
import type { DeviceId, OffloadProblem, Placement, PredictedTimes } from "@thermocline/spec";
import { predictTimes } from "../pricing/predict-times.js";
import { type ExactBytes, exactBytesOf, unitBytesByDevice } from "./placed-bytes.js";
import type { PlanContext } from "./plan-context.js";
import { type DeviceBytes, overheadBounds, problemOf } from "./planning-problem.js";
import type { Placer, Placers } from "./solve-placement.js";
import { takeTurn } from "./take-turn.js";

/** Rounds of solving and counting. Overheads settle in two or three. */
const maxRounds = 5;
const maxThoroughRounds = 2;
/** A device's bytes that are worth another round: this share of its limit. */
const worthwhileShare = 1 / 512;

/** A placement that fits. */
export interface PlacedModel {
  /** "greedy", "exact", or a strategy. */
  readonly name: string;
  readonly placement: Placement;
  readonly predicted: PredictedTimes;
  readonly exact: ExactBytes;
  /** What it was found for: budgets of units by the overheads of this very placement, or larger ones. */
  readonly problem: OffloadProblem;
  readonly boundSeconds: number;
  /** What kept the solver from doing all that was asked. */
  readonly note?: string;
}

export interface Placed {
  readonly status: "placed";
  readonly placed: PlacedModel;
  readonly limitBytes: DeviceBytes;
  /** Beside the units, as counted for this placement or another on the way to it. */
  readonly overheadBytes: DeviceBytes;
}

export type PlaceOutcome = Placed | { readonly status: "infeasible"; readonly missingBytes: Readonly<Record<DeviceId, number>> };

/**
 * Solves for units beside the most that a device can need for everything else, counts what the answer really takes, and solves again with
 * that: with less room where it was too much, with more where it was less. The fastest placement that fits is kept.
 */
export async function placeModel(context: PlanContext, { quick, thorough }: Placers): Promise<PlaceOutcome> {
  const outcome = await placeWithinHost(context, quick);
  return outcome.status === "placed" ? refine(context, outcome, thorough) : outcome;
}

/** The faster of a placement and what a thorough solver finds beside the same overheads. Its bound is the tighter one. */
async function refine(context: PlanContext, outcome: Placed, thorough: Placers["thorough"]): Promise<Placed> {
  const { placed, limitBytes } = outcome;
  let { overheadBytes } = outcome;
  let best = placed;
  for (let round = 1; round <= maxThoroughRounds; round++) {
    const problem = problemOf(context, limitBytes, overheadBytes);
    const { workloadSeconds } = best.predicted;
    const asked = thorough(problem, workloadSeconds > 0 ? (workloadSeconds - best.boundSeconds) / workloadSeconds : 0);
    if (asked === undefined) break;
    context.request.onProgress?.({ phase: "solve", detail: `exactly, round ${round}` });
    const solution = await asked;
    if (solution.status === "infeasible") break;
    // A bound for this much room is one for less room too.
    if (round === 1) best = { ...best, boundSeconds: Math.max(best.boundSeconds, Math.min(solution.boundSeconds, workloadSeconds)) };
    if (solution.note !== undefined) best = { ...best, note: solution.note };
    if (solution.predicted.workloadSeconds >= workloadSeconds) break;
    const { placement, predicted, name } = solution;
    const exact = exactBytesOf(context, placement);
    if (isWithinLimits(context, exact, limitBytes)) return { ...outcome, placed: { ...best, name, placement, predicted, exact, problem } };
    const measured = measuredOverhead(context, placement, exact, overheadBytes);
    overheadBytes = new Map([...overheadBytes].map(([id, bytes]) => [id, Math.max(bytes, measured.get(id)!)]));
  }
  return { ...outcome, placed: best };
}

/** Within each device's own limit, and within the memory that host devices share. */
async function placeWithinHost(context: PlanContext, placer: Placer): Promise<PlaceOutcome> {
  const { devices, shared } = context.limits;
  const limitBytes = new Map(devices.map(({ device, limitBytes: bytes }) => [device.id, bytes]));
  if (shared !== undefined) for (const id of shared.devices) limitBytes.set(id, Math.min(limitBytes.get(id)!, shared.limitBytes));
  const outcome = await placeWithin(context, limitBytes, placer);
  if (shared === undefined || outcome.status === "infeasible") return outcome;
  const sharedBytes = shared.devices.map((id) => outcome.placed.exact.totals.get(id) ?? 0);
  const totalBytes = sharedBytes.reduce((sum, bytes) => sum + bytes, 0);
  if (totalBytes <= shared.limitBytes) return outcome;
  // What each would have liked to take, cut to what there is; else all of it for one of them.
  const proportional = sharedBytes.map((bytes) => Math.floor((shared.limitBytes * bytes) / totalBytes));
  const alone = shared.devices.map((_, index) => shared.devices.map((_id, other) => (other === index ? shared.limitBytes : 0)));
  let best: Placed | undefined;
  for (const bytes of [proportional, ...alone]) {
    const partition = new Map(limitBytes);
    for (const [index, id] of shared.devices.entries()) partition.set(id, Math.min(limitBytes.get(id)!, bytes[index]!));
    const tried = await placeWithin(context, partition, placer);
    if (tried.status === "infeasible") continue;
    if (best === undefined || tried.placed.predicted.workloadSeconds < best.placed.predicted.workloadSeconds) best = tried;
  }
  return best ?? { status: "infeasible", missingBytes: { [shared.devices[0]!]: totalBytes - shared.limitBytes } };
}

async function placeWithin(context: PlanContext, limitBytes: DeviceBytes, placer: Placer): Promise<PlaceOutcome> {
  const { signal, onProgress } = context.request;
  let overheadBytes = overheadBounds(context);
  const floor = new Map<DeviceId, number>();
  let best: Placed | undefined;
  let missingBytes: Readonly<Record<DeviceId, number>> = {};
  let hasRelaxed = false;
  for (let round = 1; round <= maxRounds; round++) {
    onProgress?.({ phase: "solve", detail: `round ${round}` });
    await takeTurn(signal);
    const problem = problemOf(context, limitBytes, overheadBytes);
    let solution = await placer(problem);
    if (solution.status === "infeasible") {
      missingBytes = withDeficits(solution.missingBytes, limitBytes, overheadBytes);
      if (best !== undefined || hasRelaxed) break;
      // What does not fit beside the most that may be needed may still fit beside what is needed.
      hasRelaxed = true;
      solution = await placer(enlarged(problem, solution.missingBytes));
      if (solution.status === "infeasible") break;
      const measured = measuredOverhead(context, solution.placement, exactBytesOf(context, solution.placement), overheadBytes);
      if (![...measured].some(([id, bytes]) => bytes < overheadBytes.get(id)!)) break;
      overheadBytes = measured;
      continue;
    }
    onProgress?.({ phase: "verify", detail: `round ${round}` });
    const { placement, predicted, boundSeconds, name, note } = solution;
    const exact = exactBytesOf(context, placement);
    const measured = measuredOverhead(context, placement, exact, overheadBytes);
    const over = [...exact.totals].filter(([id, bytes]) => bytes > limitBytes.get(id)!);
    if (over.length > 0) {
      for (const [id] of over) floor.set(id, Math.max(floor.get(id) ?? 0, measured.get(id)!));
      if (best === undefined) missingBytes = Object.fromEntries(over.map(([id, bytes]) => [id, bytes - limitBytes.get(id)!]));
    } else if (best === undefined || predicted.workloadSeconds < best.placed.predicted.workloadSeconds) {
      const bound = Math.min(boundSeconds, best?.placed.boundSeconds ?? Number.POSITIVE_INFINITY);
      const placed = { name, placement, predicted, exact, problem, boundSeconds: bound, ...(note !== undefined && { note }) };
      best = { status: "placed", placed, limitBytes, overheadBytes };
    }
    const next = new Map([...measured].map(([id, bytes]) => [id, Math.max(bytes, floor.get(id) ?? 0)]));
    const isSettled = over.length === 0 && !isWorthAnotherRound(placement, limitBytes, overheadBytes, next);
    if (isSettled) break;
    overheadBytes = next;
  }
  return best ?? { status: "infeasible", missingBytes };
}

function enlarged(problem: OffloadProblem, moreBytes: Readonly<Record<DeviceId, number>>): OffloadProblem {
  const devices = problem.devices.map((device) => ({ ...device, budgetBytes: device.budgetBytes + (moreBytes[device.id] ?? 0) }));
  return { ...problem, devices };
}

/** Bytes beside the units that this placement takes; of a device that it does not use, what is known so far. */
function measuredOverhead(context: PlanContext, placement: Placement, { totals }: ExactBytes, known: DeviceBytes): Map<DeviceId, number> {
  const unitBytes = unitBytesByDevice(context.demand, placement);
  return new Map([...known].map(([id, bytes]) => [id, unitBytes.has(id) ? (totals.get(id) ?? 0) - unitBytes.get(id)! : bytes]));
}

/** Room that was kept for nothing is of use where a device's units could not all go there. */
function isWorthAnotherRound(placement: Placement, limitBytes: DeviceBytes, before: DeviceBytes, after: DeviceBytes): boolean {
  const used = new Set([...placement.values()].flatMap((parts) => parts.map(({ device }) => device)));
  if (used.size < 2) return false;
  return [...after].some(([id, bytes]) => before.get(id)! - bytes > limitBytes.get(id)! * worthwhileShare);
}

/** A device whose limit is below its overhead lacks that too, before its first unit. */
function withDeficits(missing: Readonly<Record<DeviceId, number>>, limitBytes: DeviceBytes, overheadBytes: DeviceBytes) {
  const entries = Object.entries(missing).map(([id, bytes]) => [id, bytes + Math.max(0, overheadBytes.get(id)! - limitBytes.get(id)!)]);
  return Object.fromEntries(entries) as Record<DeviceId, number>;
}

/** A placement of another origin, if all of it fits. */
export function placedIfFits(
  context: PlanContext,
  name: string,
  placement: Placement,
  problem: OffloadProblem,
  limitBytes: DeviceBytes,
): PlacedModel | undefined {
  const exact = exactBytesOf(context, placement);
  if (!isWithinLimits(context, exact, limitBytes)) return undefined;
  return { name, placement, predicted: predictTimes(problem, placement), exact, problem, boundSeconds: 0 };
}

function isWithinLimits({ limits: { shared } }: PlanContext, { totals }: ExactBytes, limitBytes: DeviceBytes): boolean {
  const sharedBytes = shared?.devices.reduce((sum, id) => sum + (totals.get(id) ?? 0), 0) ?? 0;
  return [...totals].every(([id, bytes]) => bytes <= limitBytes.get(id)!) && (shared === undefined || sharedBytes <= shared.limitBytes);
}
