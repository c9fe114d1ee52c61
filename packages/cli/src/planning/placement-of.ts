import type { OffloadPlan, PlacedPart, Placement } from "@thermocline/spec";

/** Of a plan that names every unit. */
export function placementOf({ units }: OffloadPlan): Placement {
  const placement = new Map<string, PlacedPart[]>();
  for (const { id, device, rows } of units) placement.set(id, [...(placement.get(id) ?? []), { device, ...(rows && { rows }) }]);
  return placement;
}
