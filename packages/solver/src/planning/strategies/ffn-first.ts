import type { Placement } from "@thermocline/spec";
import type { PricedProblem, PricedUnit } from "../../pricing/priced-problem.js";
import { figuresOf, handOverOf, type LayerChain, layerChainOf, placementOf, sequencesOf } from "./layer-chain.js";
import { fastestRuns } from "./layer-runs.js";

/**
 * Attention, KV cache and head in runs of layers on all devices but one, a CPU where there is any; to that one the feed-forward of the first or the last so many
 * layers is spilled, of a layer with experts these alone, as `--n-cpu-moe` of llama.cpp does: the fastest such choice. Undefined where none
 * fits.
 */
export function placeFfnFirst(priced: PricedProblem): Placement | undefined {
  const chain = layerChainOf(priced);
  if (chain === undefined) return undefined;
  const spillable = chain.items.map(({ units }) => units.find(isSpilled));
  let best: { readonly seconds: number; readonly place: () => Placement } | undefined;
  for (const spill of spillDevicesOf(priced)) {
    const fast = [...chain.freeBytes.keys()].filter((device) => device !== spill);
    if (fast.length === 0) continue;
    const sequences = sequencesOf(fast);
    for (const order of ["first", "last"] as const) {
      const candidates = order === "first" ? spillable : [...spillable].reverse();
      const withUnit = candidates.filter((unit) => unit !== undefined);
      for (let count = 0; count <= withUnit.length; count++) {
        const spilled = new Set(withUnit.slice(0, count));
        const spilledBytes = withUnit.slice(0, count).reduce((sum, unit) => sum + unit.wholeBytes[spill]!, 0);
        if (spilledBytes > chain.freeBytes[spill]!) break;
        const freeBytes = chain.freeBytes.map((bytes, device) => (device === spill ? bytes - spilledBytes : bytes));
        const runs = fastestRuns(chain, sequences, freeBytes, spilledFigures(chain, spilled, spill));
        if (runs === undefined || (best !== undefined && runs.seconds >= best.seconds)) continue;
        const deviceOf = (unit: PricedUnit) => (spilled.has(unit) ? spill : runs.deviceOf(unit)!);
        best = { seconds: runs.seconds, place: () => placementOf(chain, (unit) => chain.fixed.get(unit.unit.id) ?? deviceOf(unit)) };
      }
    }
  }
  return best?.place();
}

/** CPUs, where there is something else; any device where all are alike. */
function spillDevicesOf({ problem: { devices } }: PricedProblem): readonly number[] {
  const cpus = [...devices.keys()].filter((device) => devices[device]!.kind === "cpu");
  return cpus.length > 0 ? cpus : [...devices.keys()];
}

const isSpilled = ({ unit }: PricedUnit) => unit.kind === "experts" || unit.kind === "feed-forward";

/** Items without the bytes of what is spilled, with its seconds there and the way to it and back. */
function spilledFigures({ priced, items }: LayerChain, spilled: ReadonlySet<PricedUnit>, spill: number) {
  const figures = figuresOf(
    items.map(({ units }) => ({ units: units.filter((unit) => !spilled.has(unit)) })),
    priced.numDevices,
  );
  const seconds = figures.seconds.map((row, index) => {
    const unit = items[index]!.units.find((candidate) => spilled.has(candidate));
    if (unit === undefined) return row;
    return row.map((value, device) => {
      const handOvers = handOverOf(priced, device, spill) + handOverOf(priced, spill, device);
      return value + unit.wholeSeconds[spill]! + handOvers;
    });
  });
  return { seconds, bytes: figures.bytes };
}
