/** Adds what the caller gave to the logits of chosen tokens. */
import type { LogitEdits } from "./logit-edits.js";
import type { LogitRule, TokenHistory } from "./logit-rule.js";

export class LogitBias implements LogitRule {
  constructor(private readonly biases: ReadonlyMap<number, number>) {}

  get maxEdits(): number {
    return this.biases.size;
  }

  apply(_: TokenHistory, edits: LogitEdits): void {
    for (const [tokenId, bias] of this.biases) {
      if (bias === Number.NEGATIVE_INFINITY) edits.ban(tokenId);
      else edits.bias(tokenId, bias);
    }
  }
}
