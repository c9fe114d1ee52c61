/** Which layers share KV blocks, and how many blocks each group needs. */
import type { LayerConfig } from "@thermocline/spec";
import type { KvGroup } from "../graph/step-limits.js";

/** Of a layer, no more is asked than how far it sees. */
export interface WindowsOfLayers {
  readonly layers: readonly Pick<LayerConfig, "slidingWindow">[];
}

export interface KvGroupSizes {
  readonly blockSize: number;
  readonly maxBatchTokens: number;
  readonly maxSequences: number;
  readonly maxBlocksPerSequence: number;
  /** Blocks of layers that see all of the context. */
  readonly numBlocks: number;
}

/** The most blocks that one sequence holds in layers with a sliding window: what a step's first query sees, up to the step's last token. */
export function maxBlocksOfWindow(
  slidingWindow: number,
  sizes: Pick<KvGroupSizes, "blockSize" | "maxBatchTokens" | "maxBlocksPerSequence">,
): number {
  return Math.min(Math.ceil((slidingWindow + sizes.maxBatchTokens) / sizes.blockSize) + 1, sizes.maxBlocksPerSequence);
}

/** Layers without a window first, then by window in the order of the layers. */
export function kvGroupsOf({ layers }: WindowsOfLayers, sizes: KvGroupSizes): readonly KvGroup[] {
  const groups = new Map<number | undefined, number[]>();
  layers.forEach(({ slidingWindow }, layer) => {
    groups.set(slidingWindow, [...(groups.get(slidingWindow) ?? []), layer]);
  });
  const ordered = [...groups].sort(([a], [b]) => Number(a !== undefined) - Number(b !== undefined));
  return ordered.map(([slidingWindow, members]) => {
    if (slidingWindow === undefined) return { layers: members, numBlocks: sizes.numBlocks };
    const numBlocks = Math.min(maxBlocksOfWindow(slidingWindow, sizes) * sizes.maxSequences, sizes.numBlocks);
    return { slidingWindow, layers: members, numBlocks };
  });
}
