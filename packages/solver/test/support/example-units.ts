import type { OffloadUnit } from "@thermocline/spec";

export const model = "3f9a1c2b";

function unit(id: string, kind: OffloadUnit["kind"], layer: number, alwaysBytes: number, rows?: OffloadUnit["rows"]): OffloadUnit {
  const weights = [{ dtype: "q8_0", alwaysBytes, conditionalBytes: 0 }] as const;
  return { id, kind, layer, tensors: [`${id}.weight`], weights, activationFrequency: 1, numCommands: 8, ...(rows && { rows }) };
}

/** Two layers of 768 neurons in blocks of 32, as in a small q8_0 model. */
export const units: readonly OffloadUnit[] = [
  unit("embedding", "embedding", -1, 306),
  unit("blk.0.attention", "attention", 0, 352_512),
  unit("blk.0.feed-forward", "feed-forward", 0, 705_024, { count: 768, blockSize: 32 }),
  unit("blk.1.attention", "attention", 1, 352_512),
  unit("blk.1.feed-forward", "feed-forward", 1, 705_024, { count: 768, blockSize: 32 }),
  unit("head", "head", -1, 9_792_000),
];
