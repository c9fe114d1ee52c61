import type { Engine, PositionLogits } from "@thermocline/spec";
import { distributionOf } from "./distribution.js";
import type { Evaluation } from "./evaluation.js";
import type { ScoringWindow } from "./windows.js";

/** Feeds a window to a model, and to the base in step with it, and adds each scored position. Ends early, quietly, when the signal aborts. */
export async function scoreWindow(
  { tokenIds, firstPosition }: ScoringWindow,
  model: Pick<Engine, "score">,
  base: Pick<Engine, "score"> | undefined,
  evaluation: Evaluation,
  signal: AbortSignal,
): Promise<void> {
  // Nothing is asked about what follows the last token.
  const request = { tokenIds: tokenIds.slice(0, -1), firstPosition };
  const positions = model.score(request, { signal })[Symbol.asyncIterator]();
  const basePositions = base?.score(request, { signal })[Symbol.asyncIterator]();
  try {
    for (;;) {
      const scored = await nextOf(positions, signal);
      const baseScored = basePositions && (await nextOf(basePositions, signal));
      if (scored === undefined || (basePositions !== undefined && baseScored === undefined)) return;
      const base = baseScored && distributionOf(baseScored.logits);
      evaluation.add(tokenIds[scored.position + 1]!, distributionOf(scored.logits), base);
    }
  } finally {
    await positions.return?.();
    await basePositions?.return?.();
  }
}

/** Undefined at the end and once the signal has aborted. */
async function nextOf(positions: AsyncIterator<PositionLogits>, signal: AbortSignal): Promise<PositionLogits | undefined> {
  try {
    const { value, done } = await positions.next();
    return done || signal.aborted ? undefined : value;
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}
