/** A request's parameters, checked before anything of it is queued. */
import { defaultSampling, InvalidRequestError, type SamplingParams } from "@thermocline/spec";

/** Fills in the defaults; a request without a seed gets a random one. @throws InvalidRequestError */
export function checkedSampling(requested: Partial<SamplingParams> = {}): SamplingParams {
  const given = Object.fromEntries(Object.entries(requested).filter(([, value]) => value !== undefined));
  const sampling: SamplingParams = { ...defaultSampling, seed: Math.floor(Math.random() * 0x100000000), ...given };
  const check = (name: keyof SamplingParams, holds: boolean, cure: string) => {
    if (!holds) throw new InvalidRequestError(name, sampling[name], `is ${sampling[name]}`, cure);
  };
  check("temperature", sampling.temperature >= 0 && sampling.temperature < Number.POSITIVE_INFINITY, "give 0 or a positive number");
  check("topK", Number.isInteger(sampling.topK) && sampling.topK >= 0, "give 0 (all) or a positive whole number");
  check("topP", sampling.topP > 0 && sampling.topP <= 1, "give a number above 0, up to 1");
  check("minP", sampling.minP >= 0 && sampling.minP < 1, "give a number from 0 to below 1");
  check(
    "repetitionPenalty",
    sampling.repetitionPenalty > 0 && sampling.repetitionPenalty < Number.POSITIVE_INFINITY,
    "give a positive number; 1 is none",
  );
  check("seed", Number.isInteger(sampling.seed), "give a whole number");
  return { ...sampling, seed: sampling.seed | 0 };
}

/** @throws InvalidRequestError where more log-probabilities are asked for than the engine was made for. */
export function checkedLogprobs(logprobs: number | undefined, most: number): number | undefined {
  if (logprobs === undefined || (Number.isInteger(logprobs) && logprobs >= 0 && logprobs <= most)) return logprobs;
  throw new InvalidRequestError("logprobs", logprobs, `is ${logprobs}`, `ask for 0 to ${most}`);
}

/** @throws InvalidRequestError for an id outside the vocabulary. */
export function checkedTokenIds(parameter: string, tokenIds: ArrayLike<number>, vocabSize: number): readonly number[] {
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
