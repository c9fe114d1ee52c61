/** Penalties on tokens for occurring among the recent ones: a factor, and amounts for having occurred and for each time. */
import type { SamplingParams } from "@thermocline/spec";
import type { LogitEdits } from "./logit-edits.js";
import type { LogitRule, TokenHistory } from "./logit-rule.js";

type Penalties = Pick<SamplingParams, "repetitionPenalty" | "presencePenalty" | "frequencyPenalty" | "penaltyLastN">;

export class RecentTokenPenalties implements LogitRule {
  constructor(private readonly penalties: Penalties) {}

  static isOn({ repetitionPenalty, presencePenalty, frequencyPenalty, penaltyLastN }: Penalties): boolean {
    return penaltyLastN > 0 && (repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0);
  }

  get maxEdits(): number {
    return this.penalties.penaltyLastN;
  }

  apply({ tokenIds }: TokenHistory, edits: LogitEdits): void {
    const { repetitionPenalty, presencePenalty, frequencyPenalty, penaltyLastN } = this.penalties;
    const counts = new Map<number, number>();
    for (let index = Math.max(0, tokenIds.length - penaltyLastN); index < tokenIds.length; index++) {
      const tokenId = tokenIds[index]!;
      counts.set(tokenId, (counts.get(tokenId) ?? 0) + 1);
    }
    for (const [tokenId, count] of counts) {
      edits.penalise(tokenId, repetitionPenalty);
      edits.bias(tokenId, -(presencePenalty + frequencyPenalty * count));
    }
  }
}
