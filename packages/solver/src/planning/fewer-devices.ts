/** Of placements that are predicted about as fast as each other, the one that people would choose: the one on fewer devices, with fewer parts. */
import { assert, type DeviceId } from "@thermocline/spec";
import type { UnitLimit } from "./pins.js";
import { type PlacedModel, placeModel } from "./place-model.js";
import { unitBytesByDevice } from "./placed-bytes.js";
import type { PlanContext } from "./plan-context.js";
import { placersOf } from "./solve-placement.js";

/** Relative. Measured speeds differ from predicted ones by more than this, and every hand-over is a risk. */
export const tieShare = 0.01;
/** Of all units' bytes: a device that holds less is tried without. */
const littleShare = 0.03;

const secondsOf = ({ predicted }: PlacedModel) => predicted.workloadSeconds;

export function devicesOf({ placement }: Pick<PlacedModel, "placement">): ReadonlySet<DeviceId> {
  return new Set([...placement.values()].flatMap((parts) => parts.map(({ device }) => device)));
}

/** @param ranked Fastest first. @param rivals Of which none may be faster than what is chosen. */
export function preferFewerDevices(ranked: readonly PlacedModel[], rivals: readonly PlacedModel[]): PlacedModel | undefined {
  const [fastest] = ranked;
  if (fastest === undefined) return undefined;
  const limit = Math.min(secondsOf(fastest) * (1 + tieShare), ...rivals.map(secondsOf));
  const candidates = ranked.filter((placed) => placed === fastest || secondsOf(placed) <= limit);
  return candidates.reduce((best, next) => (isSimpler(next, best) ? next : best));
}

function isSimpler(one: PlacedModel, other: PlacedModel): boolean {
  const fewer = devicesOf(other).size - devicesOf(one).size;
  return fewer > 0 || (fewer === 0 && numPartsOf(one) < numPartsOf(other));
}

const numPartsOf = ({ placement }: PlacedModel) => [...placement.values()].reduce((sum, parts) => sum + parts.length, 0);

/** What the solver finds without the device that holds least, where that is little and the others have room for it. */
export async function placeOnFewerDevices(context: PlanContext, placed: PlacedModel): Promise<PlacedModel | undefined> {
  const bytes = unitBytesByDevice(context.demand, placed.placement);
  const [least] = [...bytes].sort((a, b) => a[1] - b[1]);
  assert(least !== undefined, "a placement has no device");
  const [device, leastBytes] = least;
  const allBytes = [...bytes.values()].reduce((sum, byteLength) => sum + byteLength, 0);
  const leftBytes = context.limits.devices.reduce((sum, { device: { id }, limitBytes }) => {
    return bytes.has(id) && id !== device ? sum + limitBytes - (placed.exact.totals.get(id) ?? 0) : sum;
  }, 0);
  // With one other device the strategy that takes a single one has the answer.
  if (bytes.size < 3 || leastBytes > allBytes * littleShare || leftBytes < leastBytes) return undefined;
  const unitLimits = limitsWithout(context, device);
  if (unitLimits === undefined) return undefined;
  const outcome = await placeModel({ ...context, unitLimits }, { ...placersOf(context.request), thorough: () => undefined });
  if (outcome.status === "infeasible") return undefined;
  // Priced as all others are: what it may not use is no part of its speed.
  const { problem, boundSeconds } = placed;
  return { ...outcome.placed, problem, boundSeconds };
}

/** Undefined where a unit can lie nowhere else. */
function limitsWithout({ demand, unitLimits }: PlanContext, device: DeviceId): ReadonlyMap<string, UnitLimit> | undefined {
  const limits = new Map<string, UnitLimit>();
  for (const { id } of demand.units) {
    const able =
      unitLimits.get(id)?.devices ?? Object.keys(demand.devices).filter((other) => demand.devices[other]!.units[id] !== undefined);
    const devices = able.filter((other) => other !== device);
    if (devices.length === 0) return undefined;
    limits.set(id, { devices, by: "few-devices" });
  }
  return limits;
}
