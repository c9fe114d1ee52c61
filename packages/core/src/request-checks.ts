/** A request's parameters, checked before anything of it is queued. */
import { defaultSampling, InvalidRequestError, type SamplingParams, type ScoreRequest } from "@thermocline/spec";
import type { StepLimits } from "./graph/step-limits.js";

/** Parameters reach the devices as float32. */
const largestFloat32 = (2 - 2 ** -23) * 2 ** 127;
const isNonNegative = (value: number) => value >= 0 && value <= largestFloat32;
const isPositive = (value: number) => value > 0 && value < Number.POSITIVE_INFINITY;
const isShare = (value: number) => value >= 0 && value <= 1;
const isCount = (value: number) => Number.isSafeInteger(value) && value >= 0;

interface Rule {
  readonly holds: (value: number) => boolean;
  readonly cure: string;
}

const rules: Readonly<Record<Exclude<keyof SamplingParams, "drySequenceBreakers">, Rule>> = {
  temperature: { holds: isNonNegative, cure: "give 0 or a positive number" },
  topK: { holds: isCount, cure: "give 0 (all) or a positive whole number" },
  typicalP: { holds: (value) => value > 0 && value <= 1, cure: "give a number above 0, up to 1 (all)" },
  topP: { holds: (value) => value > 0 && value <= 1, cure: "give a number above 0, up to 1" },
  minP: { holds: (value) => value >= 0 && value < 1, cure: "give a number from 0 to below 1" },
  topNSigma: { holds: isNonNegative, cure: "give 0 (all) or a positive number" },
  xtcProbability: { holds: isShare, cure: "give a number from 0 (never) to 1" },
  xtcThreshold: { holds: isShare, cure: "give a number from 0 to 1" },
  mirostatTau: { holds: isNonNegative, cure: "give 0 (off) or a positive number of bits" },
  mirostatEta: { holds: isNonNegative, cure: "give 0 or a positive number" },
  repetitionPenalty: { holds: isPositive, cure: "give a positive number; 1 is none" },
  presencePenalty: { holds: Number.isFinite, cure: "give a finite number; 0 is none" },
  frequencyPenalty: { holds: Number.isFinite, cure: "give a finite number; 0 is none" },
  penaltyLastN: { holds: isCount, cure: "give 0 (none) or a positive whole number" },
  dryMultiplier: { holds: isNonNegative, cure: "give 0 (none) or a positive number" },
  dryBase: { holds: (value) => value >= 1 && value < Number.POSITIVE_INFINITY, cure: "give a number from 1 on" },
  dryAllowedLength: { holds: isCount, cure: "give a whole number from 0 on" },
  dryLastN: { holds: (value) => value === -1 || isCount(value), cure: "give -1 (all), 0 (none) or a positive whole number" },
  seed: { holds: Number.isSafeInteger, cure: "give a whole number" },
};

/** Fills in the defaults; a request without a seed gets a random one. @throws InvalidRequestError */
export function checkedSampling(requested: Partial<SamplingParams> = {}): SamplingParams {
  if (typeof requested !== "object" || requested === null)
    throw new InvalidRequestError("sampling", requested, "is no object", "give an object of sampling parameters");
  const given = Object.fromEntries(Object.entries(requested).filter(([, value]) => value !== undefined));
  const sampling: SamplingParams = { ...defaultSampling, seed: Math.floor(Math.random() * 0x100000000), ...given };
  for (const [name, { holds, cure }] of Object.entries(rules)) {
    const value = sampling[name as keyof typeof rules];
    if (typeof value !== "number" || !holds(value)) throw new InvalidRequestError(name, value, `is ${value}`, cure);
  }
  const breakers: unknown = sampling.drySequenceBreakers;
  if (!Array.isArray(breakers) || breakers.some((breaker) => typeof breaker !== "string" || breaker === ""))
    throw new InvalidRequestError("drySequenceBreakers", breakers, "is no list of texts", "give a list of texts, none of them empty");
  return { ...sampling, seed: sampling.seed | 0 };
}

/** A later bias of a token replaces an earlier one. @throws InvalidRequestError for an id outside the vocabulary or a bias that is none. */
export function checkedLogitBias(
  logitBias: readonly (readonly [tokenId: number, bias: number])[] = [],
  vocabSize: number,
): ReadonlyMap<number, number> {
  if (!Array.isArray(logitBias) || logitBias.some((entry) => !Array.isArray(entry) || entry.length !== 2))
    throw new InvalidRequestError("logitBias", logitBias, "is no list of pairs", "give a list of [token id, bias]");
  checkedTokenIds(
    "logitBias",
    logitBias.map(([tokenId]) => tokenId),
    vocabSize,
  );
  for (const [tokenId, bias] of logitBias) {
    if (Number.isFinite(bias) || bias === Number.NEGATIVE_INFINITY) continue;
    throw new InvalidRequestError(
      "logitBias",
      bias,
      `of token ${tokenId} is ${bias}`,
      "give a finite number, or -Infinity to ban the token",
    );
  }
  return new Map(logitBias);
}

/** @throws InvalidRequestError where it is no count, or more than the tokens that were asked for. */
export function checkedMinTokens(minTokens = 0, maxTokens: number | undefined): number {
  if (!isCount(minTokens)) throw new InvalidRequestError("minTokens", minTokens, `is ${minTokens}`, "give 0 or a positive whole number");
  if (maxTokens !== undefined && minTokens > maxTokens)
    throw new InvalidRequestError(
      "minTokens",
      minTokens,
      `is ${minTokens}, maxTokens is ${maxTokens}`,
      "lower minTokens or raise maxTokens",
    );
  return minTokens;
}

/** Those that can end a text. @throws InvalidRequestError for what is no list of texts. */
export function checkedStop(stop: readonly string[] = []): readonly string[] {
  if (!Array.isArray(stop) || stop.some((text) => typeof text !== "string"))
    throw new InvalidRequestError("stop", stop, "is no list of texts", "give a list of texts");
  return stop.filter((text) => text !== "");
}

/** @throws InvalidRequestError where more log-probabilities are asked for than the engine was made for. */
export function checkedLogprobs(logprobs: number | undefined, most: number): number | undefined {
  if (logprobs === undefined || (Number.isInteger(logprobs) && logprobs >= 0 && logprobs <= most)) return logprobs;
  throw new InvalidRequestError("logprobs", logprobs, `is ${logprobs}`, `ask for 0 to ${most}`);
}

/** @throws InvalidRequestError for a text that the context or the engine's memory does not hold, or a position outside it. */
export function checkScoring({ tokenIds, firstPosition = 0 }: ScoreRequest, limits: StepLimits): void {
  const refuse = (parameter: string, value: unknown, problem: string, cure: string) => {
    throw new InvalidRequestError(parameter, value, problem, cure);
  };
  const { contextLength, maxScoredTokens } = limits;
  if (maxScoredTokens === 0)
    refuse("maxScoredTokens", undefined, "was not given, so there is no memory for logits", "make the engine with maxScoredTokens");
  if (!Array.isArray(tokenIds) && !ArrayBuffer.isView(tokenIds))
    refuse("tokenIds", typeof tokenIds, `are no token ids but ${typeof tokenIds}`, "give a list of token ids");
  const { length } = tokenIds;
  const lengths = `has ${length} tokens, the context holds ${contextLength}`;
  if (!(length >= 1)) refuse("tokenIds", length, "is empty", "give at least one token");
  if (length > contextLength) refuse("tokenIds", length, lengths, "score a long text in windows of at most the context length");
  if (!isCount(firstPosition) || firstPosition >= length)
    refuse("firstPosition", firstPosition, `is ${firstPosition}`, `give a position of the text, 0 to ${length - 1}`);
}

/** @throws InvalidRequestError for what is no list, or an id outside the vocabulary. */
export function checkedTokenIds(parameter: string, tokenIds: ArrayLike<number>, vocabSize: number): readonly number[] {
  if (!Array.isArray(tokenIds) && !(ArrayBuffer.isView(tokenIds) && "length" in tokenIds))
    throw new InvalidRequestError(parameter, typeof tokenIds, `are no token ids but ${typeof tokenIds}`, "give a list of token ids");
  return Array.from(tokenIds, (id) => {
    if (Number.isInteger(id) && id >= 0 && id < vocabSize) return id;
    throw new InvalidRequestError(
      parameter,
      id,
      `token id ${id} is outside the vocabulary of ${vocabSize}`,
      "tokenize the text with this model's vocabulary",
    );
  });
}
