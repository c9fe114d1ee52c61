import type { Placement } from "@thermocline/spec";
import type { PricedProblem } from "../../pricing/priced-problem.js";
import { devicesOfItems, mostEvenCuts } from "./contiguous-cuts.js";
import { type ChainItem, figuresOf, layerChainOf, placementOf } from "./layer-chain.js";

/**
 * Whole layers in order over the GPUs in the machine's order, over all devices where it has none: the embedding with the first, the head
 * with the last. The cuts are those whose fullest device has the most room left, as a share of its bytes for units, so that every device
 * can grow alike. A device stays empty where its use would not lower that share. Undefined where no cuts fit.
 */
export function placeAutosplit(priced: PricedProblem): Placement | undefined {
  const chain = layerChainOf(priced);
  if (chain === undefined) return undefined;
  const all = [...chain.freeBytes.keys()];
  const gpus = all.filter((device) => priced.problem.devices[device]!.kind === "gpu");
  const order = (gpus.length > 0 ? gpus : all).filter((device) => chain.freeBytes[device]! > 0);
  const [first, ...rest] = chain.items;
  if (order.length === 0 || first === undefined) return undefined;
  const items: readonly ChainItem[] = [{ units: [...chain.embedding.units, ...first.units] }, ...rest];
  const figures = figuresOf(items, priced.numDevices);
  const shareOf = (device: number, runBytes: number) => {
    const used = priced.budgetBytes[device]! - chain.freeBytes[device]! + runBytes;
    return used / priced.budgetBytes[device]!;
  };
  let best: { readonly share: number; readonly devices: readonly number[] } | undefined;
  for (const sequence of subsequencesOf(order)) {
    const cuts = mostEvenCuts(sequence, figures, chain.freeBytes, shareOf);
    if (cuts !== undefined && (best === undefined || cuts.cost < best.share))
      best = { share: cuts.cost, devices: devicesOfItems(sequence, cuts) };
  }
  if (best === undefined) return undefined;
  const deviceOf = new Map(items.flatMap(({ units }, index) => units.map(({ unit }) => [unit.id, best.devices[index]!] as const)));
  return placementOf(chain, ({ unit }) => chain.fixed.get(unit.id) ?? deviceOf.get(unit.id)!);
}

/** Longest first; of very many devices only those that leave out the last ones. */
function subsequencesOf(order: readonly number[]): readonly (readonly number[])[] {
  if (order.length > 8) return order.map((_, left) => order.slice(0, order.length - left));
  const subsets = Array.from({ length: 2 ** order.length - 1 }, (_, bits) => order.filter((_device, index) => ((bits + 1) >> index) & 1));
  return subsets.sort((a, b) => b.length - a.length);
}
