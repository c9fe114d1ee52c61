/** Parameters of the `sample` op, and the draw that every backend makes in the same way. */

export interface SamplingParams {
  /** 0: always the most likely token. */
  readonly temperature: number;
  /** Keep the k most likely tokens; 0: all. */
  readonly topK: number;
  /** Keep the tokens whose surprise is nearest the expected one, up to this probability; 1: all. */
  readonly typicalP: number;
  /** Keep the smallest set of most likely tokens whose probability reaches p; 1: all. */
  readonly topP: number;
  /** Drop tokens less likely than this share of the most likely one; 0: none. */
  readonly minP: number;
  /** Drop tokens whose logit is more than this many standard deviations below the best; 0: none. */
  readonly topNSigma: number;
  /** How often the most likely tokens are left out (exclude top choices); 0: never. */
  readonly xtcProbability: number;
  /** Tokens at least this likely count as top choices; above 0.5 there is never more than one, and nothing is left out. */
  readonly xtcThreshold: number;
  /** Target surprise in bits of mirostat 2, which then replaces the choices above; 0: off. */
  readonly mirostatTau: number;
  /** How fast mirostat corrects itself. */
  readonly mirostatEta: number;
  /** Divides positive and multiplies negative logits of recent tokens; 1: none. */
  readonly repetitionPenalty: number;
  /** Taken from the logits of tokens that occur among the recent ones; 0: none. */
  readonly presencePenalty: number;
  /** Taken from the logits of recent tokens for each time that they occur; 0: none. */
  readonly frequencyPenalty: number;
  /** How many recent tokens, prompt included, the three penalties see; 0: none. */
  readonly penaltyLastN: number;
  /** DRY: strength of the penalty on tokens that would continue a repetition; 0: none. */
  readonly dryMultiplier: number;
  /** DRY: the penalty is dryMultiplier · dryBase ^ (length of the repetition - dryAllowedLength). */
  readonly dryBase: number;
  /** DRY: repetitions shorter than this many tokens go unpunished. */
  readonly dryAllowedLength: number;
  /** DRY: how many recent tokens, prompt included, are searched for repetitions; -1: all of the context. */
  readonly dryLastN: number;
  /** DRY: no repetition reaches across a token whose text holds one of these. */
  readonly drySequenceBreakers: readonly string[];
  /** 32-bit; equal seeds give equal text whatever else is being served. */
  readonly seed: number;
}

/** Columns of the `params` tensor of `sample`, in order. */
export const samplingColumns = [
  "temperature",
  "topK",
  "typicalP",
  "topP",
  "minP",
  "topNSigma",
  "xtcProbability",
  "xtcThreshold",
  "mirostatTau",
  "mirostatEta",
] as const satisfies readonly (keyof SamplingParams)[];

export const defaultSampling: Omit<SamplingParams, "seed"> = {
  temperature: 0.8,
  topK: 40,
  typicalP: 1,
  topP: 0.95,
  minP: 0.05,
  topNSigma: 0,
  xtcProbability: 0,
  xtcThreshold: 0.1,
  mirostatTau: 0,
  mirostatEta: 0.1,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  penaltyLastN: 64,
  dryMultiplier: 0,
  dryBase: 1.75,
  dryAllowedLength: 2,
  dryLastN: -1,
  drySequenceBreakers: ["\n", ":", '"', "*"],
};

/** Mirostat's first surprise limit, in bits. */
export const firstSurpriseLimit = (mirostatTau: number) => 2 * mirostatTau;

/** MurmurHash3's 32-bit finalizer. */
function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * Uniform in [0, 1) with 24 bits, a pure function of seed, draw number and stream: mix(mix(seed + (stream + 1) · 0x9e3779b9) ^ draw) / 2^32,
 * truncated. Stream 0 draws tokens, stream 1 decides about XTC.
 */
export function uniformOf(seed: number, draw: number, stream: 0 | 1 = 0): number {
  return (mix(mix((seed + (stream + 1) * 0x9e3779b9) | 0) ^ draw) >>> 8) / 0x1000000;
}
