/** Bans the tokens that end a generation until it has its minimum of tokens. */
import type { LogitEdits } from "./logit-edits.js";
import type { LogitRule, TokenHistory } from "./logit-rule.js";

export class MinimumTokens implements LogitRule {
  constructor(
    private readonly minTokens: number,
    private readonly endOfGenerationIds: readonly number[],
  ) {}

  get maxEdits(): number {
    return this.endOfGenerationIds.length;
  }

  apply({ numGeneratedTokens }: TokenHistory, edits: LogitEdits): void {
    if (numGeneratedTokens >= this.minTokens) return;
    for (const tokenId of this.endOfGenerationIds) edits.ban(tokenId);
  }
}
