import type { Placement } from "@thermocline/spec";
import type { PricedProblem } from "../../pricing/priced-problem.js";
import { layerChainOf, placementOf, sequencesOf } from "./layer-chain.js";
import { fastestRuns } from "./layer-runs.js";

/**
 * Whole layers, neighbours together: the fastest cuts in the fastest order of devices, as `-ngl` of llama.cpp would be set by somebody who
 * tried all its values. Undefined where no such placement fits.
 */
export function placeWholeLayers(priced: PricedProblem): Placement | undefined {
  const chain = layerChainOf(priced);
  if (chain === undefined) return undefined;
  const runs = fastestRuns(chain, sequencesOf([...chain.freeBytes.keys()]), chain.freeBytes);
  if (runs === undefined) return undefined;
  return placementOf(chain, (unit) => chain.fixed.get(unit.unit.id) ?? runs.deviceOf(unit)!);
}
