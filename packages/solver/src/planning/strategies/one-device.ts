import type { Placement } from "@thermocline/spec";
import type { PricedProblem } from "../../pricing/priced-problem.js";
import { layerChainOf, placementOf } from "./layer-chain.js";

/** All that is not fixed elsewhere on the device that is fastest with it. Undefined where it fits on none. */
export function placeOnFastestDevice(priced: PricedProblem): Placement | undefined {
  const chain = layerChainOf(priced);
  if (chain === undefined) return undefined;
  const free = priced.units.filter(({ unit }) => !chain.fixed.has(unit.id));
  const sum = (figures: "wholeSeconds" | "wholeBytes", device: number) => free.reduce((total, unit) => total + unit[figures][device]!, 0);
  const [fastest] = [...chain.freeBytes.keys()]
    .filter((device) => sum("wholeBytes", device) <= chain.freeBytes[device]!)
    .sort((a, b) => sum("wholeSeconds", a) - sum("wholeSeconds", b));
  if (fastest === undefined) return undefined;
  return placementOf(chain, (unit) => chain.fixed.get(unit.unit.id) ?? fastest);
}
