/** What changes a sequence's logits before it is sampled: a pure function of its tokens, so that batches and preemptions change nothing. */
import type { LogitEdits } from "./logit-edits.js";

export interface TokenHistory {
  /** Prompt, then generated tokens. */
  readonly tokenIds: readonly number[];
  readonly numGeneratedTokens: number;
}

export interface LogitRule {
  /** The most tokens that this rule must have room for; rules that make do with what is left have 0. */
  readonly maxEdits: number;
  apply(history: TokenHistory, edits: LogitEdits): void;
}
