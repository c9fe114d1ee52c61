import type { UnitBytes } from "@thermocline/spec";

/**
 * A line above the bytes of every number of blocks of a unit's rows. Layouts pad rows to groups and tensors to the alignment, both powers of
 * two, so that bytes grow in stairs with a period of at most the alignment's number of blocks: the line has their slope, and one period shows
 * how far they rise above it.
 */
export function boundOfParts(numBlocks: number, alignment: number, bytesOf: (numBlocks: number) => number): NonNullable<UnitBytes["part"]> {
  const period = Math.min(numBlocks, Math.max(64, alignment));
  const bytesPerBlock = Math.ceil(bytesOf(period) / period);
  let fixedBytes = Math.max(0, bytesOf(numBlocks) - numBlocks * bytesPerBlock);
  for (let blocks = 1; blocks <= period; blocks++) fixedBytes = Math.max(fixedBytes, bytesOf(blocks) - blocks * bytesPerBlock);
  return { fixedBytes, bytesPerBlock };
}
