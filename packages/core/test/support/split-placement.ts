/** A placement that splits whatever can be split between two devices, and puts the rest on one or the other. */
import type { IndexRange, ModelSource, OffloadUnit, PlacedPart, Placement } from "@thermocline/spec";
import { listOffloadUnits, readModelConfig } from "../../src/index.js";

export const splitDevices = ["device:0", "device:1"] as const;
const [home, other] = splitDevices;

/** Every other block of a unit's rows, from the first or the second on, touching blocks joined. */
function everyOtherBlock({ rows }: OffloadUnit, first: number): readonly IndexRange[] {
  const { count, blockSize } = rows!;
  const ranges: [number, number][] = [];
  for (let block = first; block * blockSize < count; block += 2)
    ranges.push([block * blockSize, Math.min(blockSize, count - block * blockSize)]);
  return ranges;
}

/** Rows dealt out in turn, attention and routers from layer to layer, the ends of the model apart. */
export function splitPlacement(source: ModelSource): Placement {
  const partsOf = (unit: OffloadUnit): readonly PlacedPart[] => {
    if (unit.rows !== undefined) return [home, other].map((device, first) => ({ device, rows: everyOtherBlock(unit, first) }));
    return [{ device: unit.kind === "head" || unit.layer % 2 === 1 ? other : home }];
  };
  return new Map(listOffloadUnits(source, readModelConfig(source)).map((unit) => [unit.id, partsOf(unit)]));
}
