/** Adds what the caller gave to the logits of chosen tokens. */
import type { LogitEdits } from "./logit-edits.js";
import type { LogitRule, TokenHistory } from "./logit-rule.js";

export class LogitBias implements LogitRule {
  constructor(private readonly biases: ReadonlyMap<number, number>) {}

  get maxEdits(): number {
    return this.biases.size;
  }

  apply(_: TokenHistory, edits: LogitEdits): void {
    for (const [tokenId, bias] of this.biases) edits.bias(tokenId, bias);
  }
}
