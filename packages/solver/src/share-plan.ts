/** The plainest split there is: the same share of every splittable unit on each device. */
import {
  type DeviceId,
  type IndexRange,
  InvalidPlanError,
  type OffloadPlan,
  type OffloadPlanUnit,
  type OffloadUnit,
  type PlanDevice,
} from "@thermocline/spec";

export interface SharePlanOptions {
  /** `ModelSource.identity`. */
  readonly model: string;
  readonly units: readonly OffloadUnit[];
  /** The first one takes the rows that no share names, and every unit that cannot be split. */
  readonly devices: Readonly<Record<DeviceId, PlanDevice>>;
  /** For each device but the first, the part of every splittable unit's rows that it takes: 0 to 1, together at most 1. */
  readonly shares: Readonly<Record<DeviceId, number>>;
}

/**
 * Splits the rows of every unit that has rows. Devices take neighbouring rows in their order; cuts are rounded to the nearest
 * multiple of the unit's block, so that no quantisation block is cut and a device with a small share may get no row of a unit.
 * @throws InvalidPlanError for a share of the first or of an undeclared device, or shares that are no fractions.
 */
export function createSharePlan({ model, units, devices, shares }: SharePlanOptions): OffloadPlan {
  const deviceIds = Object.keys(devices);
  checkShares(deviceIds, shares);
  const rest = 1 - Object.values(shares).reduce((sum, share) => sum + share, 0);
  const shareOf = (device: DeviceId, index: number) => (index === 0 ? Math.max(0, rest) : (shares[device] ?? 0));
  const splittable = units.filter((unit) => unit.rows !== undefined);
  return { version: 1, model, devices, units: splittable.flatMap((unit) => splitUnit(unit, deviceIds, shareOf)) };
}

function checkShares(deviceIds: readonly DeviceId[], shares: Readonly<Record<DeviceId, number>>): void {
  if (deviceIds.length === 0) throw new InvalidPlanError("devices", "is empty", "declare at least one device");
  let sum = 0;
  for (const [device, share] of Object.entries(shares)) {
    const subject = `share of ${device}`;
    if (!deviceIds.includes(device))
      throw new InvalidPlanError(subject, "names no declared device", `use one of ${deviceIds.slice(1).join(", ")}`);
    if (device === deviceIds[0])
      throw new InvalidPlanError(subject, "names the first device", "leave it out: the first device takes what is left");
    if (!(share >= 0 && share <= 1)) throw new InvalidPlanError(subject, `is ${share}`, "write a fraction from 0 to 1");
    sum += share;
  }
  // Ten shares of 0.1 sum to a little less or more than 1.
  if (sum > 1 + 1e-9) throw new InvalidPlanError("shares", `sum to ${sum}`, "lower them until they sum to at most 1");
}

function splitUnit(
  unit: OffloadUnit,
  deviceIds: readonly DeviceId[],
  shareOf: (device: DeviceId, index: number) => number,
): OffloadPlanUnit[] {
  const { count, blockSize } = unit.rows!;
  const numBlocks = Math.ceil(count / blockSize);
  const entries: OffloadPlanUnit[] = [];
  let cumulative = 0;
  let first = 0;
  for (const [index, device] of deviceIds.entries()) {
    cumulative += shareOf(device, index);
    const end = Math.min(count, Math.round(cumulative * numBlocks) * blockSize);
    if (end > first) {
      const rows: readonly IndexRange[] = [[first, end - first]];
      entries.push(end - first === count ? { id: unit.id, device } : { id: unit.id, device, rows });
    }
    first = end;
  }
  return entries;
}
