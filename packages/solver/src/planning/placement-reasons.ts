/** Why a unit lies where it does, in a few words. */
import { assert, type DeviceId, type OffloadUnit, type PlacedPart } from "@thermocline/spec";
import type { PricedProblem, PricedUnit } from "../pricing/priced-problem.js";
import { tieShare } from "./fewer-devices.js";
import type { PlacedModel } from "./place-model.js";
import type { PlanContext } from "./plan-context.js";
import type { DeviceBytes } from "./planning-problem.js";

export type ReasonOf = (unit: OffloadUnit, part: PlacedPart) => string;

/**
 * @param priced The problem's prices, whatever its budgets.
 * @param fastestSeconds For the workload, of all that is known: a plan that was asked for by its strategy's name need not be so fast.
 */
export function reasonsOf(
  context: PlanContext,
  placed: PlacedModel,
  priced: PricedProblem,
  limitBytes: DeviceBytes,
  fastestSeconds: number,
): ReasonOf {
  const pricedUnits = new Map(priced.units.map((unit) => [unit.unit.id, unit]));
  const used = new Set([...placed.placement.values()].flatMap((parts) => parts.map(({ device }) => device)));
  const freeBytes = (device: DeviceId) => limitBytes.get(device)! - (placed.exact.totals.get(device) ?? 0);
  return (unit, part) => {
    const limited = limitReason(context, unit);
    if (limited !== undefined) return limited;
    const pricedUnit = pricedUnits.get(unit.id);
    assert(pricedUnit !== undefined, `unit ${unit.id} has no price`);
    const able = [...pricedUnit.wholeSeconds.keys()].filter((device) => Number.isFinite(pricedUnit.wholeSeconds[device]));
    const idOf = (device: number) => placed.problem.devices[device]!.id;
    if (able.length === 1 && placed.problem.devices.length > 1) return `only ${part.device} has kernels for it`;
    if (placed.name === "autosplit") return "its turn in the order of layers; every device is filled alike";
    if (used.size === 1) return aloneReason(part.device, placed.predicted.workloadSeconds / fastestSeconds);
    const fastest = idOf(able.sort((a, b) => pricedUnit.wholeSeconds[a]! - pricedUnit.wholeSeconds[b]!)[0]!);
    const parts = placed.placement.get(unit.id)!;
    if (parts.length > 1) return splitReason(unit, part, fastest, freeBytes(fastest) < smallestPartBytes(priced, pricedUnit, fastest));
    if (part.device === fastest) return `fits, and is fastest on ${fastest}`;
    const needBytes = pricedUnit.wholeBytes[placed.problem.devices.findIndex(({ id }) => id === fastest)]!;
    return freeBytes(fastest) < needBytes ? `no room left on ${fastest}` : `fewer hand-overs than on ${fastest}`;
  };
}

/** @param slowdown Seconds by those of the fastest. */
function aloneReason(device: DeviceId, slowdown: number): string {
  if (slowdown <= 1) return `everything fits on ${device}, and nothing is faster`;
  if (slowdown > 1 + tieShare) return `everything is on ${device}, as asked`;
  return `everything fits on ${device}, and nothing is faster by more than ${tieShare * 100} %`;
}

function limitReason({ unitLimits, request }: PlanContext, unit: OffloadUnit): string | undefined {
  const limit = unitLimits.get(unit.id);
  switch (limit?.by) {
    case "pin":
      return `pinned by you: ${limit.pattern}`;
    case "cpu-experts":
      return "experts are kept on the CPU, as asked";
    case "max-gpu-layers":
      return `only the last ${request.maxGpuLayers} layers may use GPUs, as asked`;
    case "few-devices":
    case undefined:
      return undefined;
  }
}

function splitReason(unit: OffloadUnit, part: PlacedPart, fastest: DeviceId, isFull: boolean): string {
  const rows = unit.kind === "experts" ? "experts" : "neurons";
  const hasHeat = new Set(unit.rows!.activationFrequencies ?? []).size > 1;
  if (part.device === fastest)
    return hasHeat ? `hottest ${rows} that fit` : isFull ? `as many ${rows} as fit` : "its share: both devices end together";
  if (isFull) return hasHeat ? `colder ${rows}; no room left on ${fastest}` : `no room left on ${fastest}`;
  return `computes beside ${fastest}, so that both end together`;
}

/** Of one group of rows. */
function smallestPartBytes({ problem }: PricedProblem, { rows }: PricedUnit, device: DeviceId): number {
  const part = rows?.parts.find((candidate) => problem.devices[candidate.device]!.id === device);
  return part === undefined ? 0 : Math.min(...part.bytes);
}
