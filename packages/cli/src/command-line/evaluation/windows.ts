import type { Vocabulary } from "@thermocline/spec";

export interface ScoringWindow {
  /** contextLength ids. */
  readonly tokenIds: readonly number[];
  /** The first position that predicts a token that counts; the last is the one before the window's last token. */
  readonly firstPosition: number;
}

/** The shortest window of which a position is scored. */
export const shortestWindow = 3;

/** Positions of a window whose prediction counts. */
export function scoredPositions(contextLength: number): number {
  return contextLength - Math.floor(contextLength / 2) - 1;
}

/**
 * A text in windows as llama.cpp's perplexity tool cuts it: one behind the other, a rest left out, the first token of each replaced by BOS where
 * the vocabulary puts one before texts. Positions floor(n / 2) to n - 2 of n predict the tokens behind them.
 */
export function* cutWindows(
  tokenIds: readonly number[],
  contextLength: number,
  { addBos, special: { bos } }: Pick<Vocabulary, "addBos" | "special">,
): Generator<ScoringWindow> {
  for (let start = 0; start + contextLength <= tokenIds.length; start += contextLength) {
    const window = tokenIds.slice(start, start + contextLength);
    if (addBos && bos !== undefined) window[0] = bos;
    yield { tokenIds: window, firstPosition: Math.floor(contextLength / 2) };
  }
}
