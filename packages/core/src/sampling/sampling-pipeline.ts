/**
 * The rules of one sequence, in order: penalties on recent tokens, the caller's biases, the minimum of tokens, DRY. What follows
 * (temperature, truncation, the draw) is the `sample` op's, on the device.
 */
import { InvalidRequestError, type SamplingParams } from "@thermocline/spec";
import { Dry } from "./dry.js";
import { LogitBias } from "./logit-bias.js";
import type { LogitRule } from "./logit-rule.js";
import { MinimumTokens } from "./minimum-tokens.js";
import { RecentTokenPenalties } from "./recent-token-penalties.js";
import type { VocabularyTexts } from "./vocabulary-texts.js";

export interface SamplingPipelineOptions {
  readonly sampling: SamplingParams;
  readonly logitBias: ReadonlyMap<number, number>;
  readonly minTokens: number;
  readonly texts: VocabularyTexts;
  readonly vocabSize: number;
  /** Tokens of a row that can be edited. */
  readonly maxLogitEdits: number;
}

/** Empty where nothing is on. @throws InvalidRequestError where the tokens that must be edited are more than a row has room for. */
export function createSamplingPipeline(options: SamplingPipelineOptions): readonly LogitRule[] {
  const { sampling, logitBias, minTokens, texts } = options;
  const rules: LogitRule[] = [];
  if (RecentTokenPenalties.isOn(sampling)) rules.push(new RecentTokenPenalties(sampling));
  if (logitBias.size > 0) rules.push(new LogitBias(logitBias));
  if (minTokens > 0) rules.push(new MinimumTokens(minTokens, texts.endOfGenerationIds));
  if (Dry.isOn(sampling)) rules.push(new Dry(sampling, texts.breakerTest(sampling.drySequenceBreakers)));
  refuseBeyondRoom(rules, options);
  return rules;
}

function refuseBeyondRoom(rules: readonly LogitRule[], { logitBias, sampling, vocabSize, maxLogitEdits }: SamplingPipelineOptions): void {
  const wanted = rules.reduce((sum, rule) => sum + rule.maxEdits, 0);
  if (Math.min(wanted, vocabSize) <= maxLogitEdits) return;
  const largest = logitBias.size > sampling.penaltyLastN ? "logitBias" : "penaltyLastN";
  throw new InvalidRequestError(
    largest,
    largest === "logitBias" ? logitBias.size : sampling.penaltyLastN,
    `with the other penalties and biases up to ${wanted} tokens of a step change, the engine has room for ${maxLogitEdits}`,
    "bias fewer tokens, lower penaltyLastN, or make the engine with a larger maxLogitEdits",
  );
}
