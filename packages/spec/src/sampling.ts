/** Parameters of the `sample` op, and the draw that every backend makes in the same way. */

export interface SamplingParams {
  /** 0: always the most likely token. */
  readonly temperature: number;
  /** Keep the k most likely tokens; 0: all. */
  readonly topK: number;
  /** Keep the smallest set of most likely tokens whose probability reaches p; 1: all. */
  readonly topP: number;
  /** Drop tokens less likely than this share of the most likely one; 0: none. */
  readonly minP: number;
  /** Divides positive and multiplies negative logits of recent tokens; 1: none. */
  readonly repetitionPenalty: number;
  /** 32-bit; equal seeds give equal text whatever else is being served. */
  readonly seed: number;
}

/** Columns of the `params` tensor of `sample`, in order. */
export const samplingColumns = [
  "temperature",
  "topK",
  "topP",
  "minP",
  "repetitionPenalty",
] as const satisfies readonly (keyof SamplingParams)[];

export const defaultSampling: Omit<SamplingParams, "seed"> = { temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05, repetitionPenalty: 1 };

/** MurmurHash3's 32-bit finalizer. */
function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Uniform in [0, 1) with 24 bits, a pure function of seed and draw number: mix(mix(seed + 0x9e3779b9) ^ draw) / 2^32, truncated. */
export function uniformOf(seed: number, draw: number): number {
  return (mix(mix((seed + 0x9e3779b9) | 0) ^ draw) >>> 8) / 0x1000000;
}
