/** Whether a placement can be carried out: checked once more where it is used, for those who wrote it by hand. */
import { type DeviceId, InvalidPlanError, type OffloadUnit, type PlacedPart, type Placement } from "@thermocline/spec";

const cure = "give every unit to the devices so that each of its rows lies on exactly one";

/** @throws InvalidPlanError where a unit, a row or a device is missing, given twice or cut inside a quantisation block. */
export function checkPlacement(placement: Placement, units: readonly OffloadUnit[], devices: readonly DeviceId[]): void {
  for (const unit of units) {
    const parts = placement.get(unit.id) ?? [];
    if (parts.length === 0) throw new InvalidPlanError(unit.id, "has no place", cure);
    for (const { device } of parts) {
      if (!devices.includes(device))
        throw new InvalidPlanError(unit.id, `lies on ${device}, which was not given`, `use one of ${devices.join(", ")}`);
    }
    if (parts.length > 1 || parts[0]!.rows !== undefined) checkRows(unit, parts);
  }
}

function checkRows({ id, rows }: OffloadUnit, parts: readonly PlacedPart[]): void {
  if (rows === undefined) throw new InvalidPlanError(id, "is split, but has no rows", "place it whole on one device");
  const seen = new Set(parts.map(({ device }) => device));
  if (seen.size < parts.length) throw new InvalidPlanError(id, "names a device twice", cure);
  const ranges = parts.flatMap((part) => part.rows ?? [[0, rows.count] as const]).sort((a, b) => a[0] - b[0]);
  let end = 0;
  for (const [first, count] of ranges) {
    if (!(count > 0)) throw new InvalidPlanError(id, `has a range of ${count} rows`, cure);
    if (first < end) throw new InvalidPlanError(id, `has row ${first} twice`, cure);
    if (first > end) throw new InvalidPlanError(id, `lacks rows ${end} to ${first - 1}`, cure);
    if (first % rows.blockSize !== 0 || count % rows.blockSize !== 0)
      throw new InvalidPlanError(
        id,
        `is cut inside a block at rows ${first} to ${first + count - 1}`,
        `cut at multiples of ${rows.blockSize}`,
      );
    end = first + count;
  }
  if (end !== rows.count) throw new InvalidPlanError(id, `has rows up to ${end} of ${rows.count}`, cure);
}
