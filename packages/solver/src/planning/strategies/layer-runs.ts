/** Runs of neighbouring layers on each device, embedding and hand-overs included: the common part of whole-layer and FFN-first. */
import type { PricedUnit } from "../../pricing/priced-problem.js";
import { devicesOfItems, fastestCuts } from "./contiguous-cuts.js";
import { figuresOf, handOverOf, type ItemFigures, type LayerChain } from "./layer-chain.js";

export interface LayerRuns {
  /** Predicted, of what is not fixed; a little off where fixed units lie between others. */
  readonly seconds: number;
  readonly deviceOf: (unit: PricedUnit) => number | undefined;
}

/**
 * The fastest way to lay the chain's items on neighbouring runs of one of the sequences, the embedding on any device.
 * @param figures Of the chain's items, where these differ from what they hold: without what has been placed elsewhere.
 */
export function fastestRuns(
  chain: LayerChain,
  sequences: readonly (readonly number[])[],
  freeBytes: readonly number[],
  figures: ItemFigures = figuresOf(chain.items, chain.priced.numDevices),
): LayerRuns | undefined {
  const { priced, embedding, items } = chain;
  const ofEmbedding = figuresOf([embedding], priced.numDevices);
  let best: { readonly seconds: number; readonly home: number; readonly devices: readonly number[] } | undefined;
  for (const sequence of sequences) {
    const handOvers = sequence.slice(1).reduce((sum, device, index) => sum + handOverOf(priced, sequence[index]!, device), 0);
    for (let home = 0; home < priced.numDevices; home++) {
      const embeddingBytes = ofEmbedding.bytes[0]![home]!;
      if (embeddingBytes > freeBytes[home]!) continue;
      const seconds = ofEmbedding.seconds[0]![home]! + handOverOf(priced, home, sequence[0]!) + handOvers;
      if (best !== undefined && seconds >= best.seconds) continue;
      const left = freeBytes.map((bytes, device) => (device === home ? bytes - embeddingBytes : bytes));
      const cuts = fastestCuts(sequence, figures, left);
      if (cuts === undefined || (best !== undefined && seconds + cuts.cost >= best.seconds)) continue;
      best = { seconds: seconds + cuts.cost, home, devices: devicesOfItems(sequence, cuts) };
    }
  }
  if (best === undefined) return undefined;
  const { home, devices, seconds } = best;
  const deviceOf = new Map<PricedUnit, number>(embedding.units.map((unit) => [unit, home]));
  for (const [index, { units }] of items.entries()) for (const unit of units) deviceOf.set(unit, devices[index]!);
  return { seconds, deviceOf: (unit) => deviceOf.get(unit) };
}
