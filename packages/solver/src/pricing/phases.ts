/** The steps that a workload is made of. */
import type { OffloadProblem, Workload } from "@thermocline/spec";

/** Steps of equal size; only the depth may differ from one to the next. */
export interface Phase {
  /** How many of them the workload runs. */
  readonly numSteps: number;
  readonly tokens: number;
  readonly sequences: number;
  /** Mean depth that the tokens of a step see; the steps are shared out equally over these. */
  readonly depths: readonly number[];
}

export interface Phases {
  readonly prefill: Phase;
  readonly decode: Phase;
}

export function phasesOf({ workload, maxBatchTokens }: Pick<OffloadProblem, "workload" | "maxBatchTokens">): Phases {
  return { prefill: prefillOf(workload, maxBatchTokens), decode: decodeOf(workload) };
}

/** batch · promptTokens tokens in equal chunks, in which all sequences advance alike. */
export function prefillOf({ promptTokens, contextDepth, batch }: Workload, maxBatchTokens: number): Phase {
  const numSteps = Math.ceil((batch * promptTokens) / maxBatchTokens);
  const advance = numSteps === 0 ? 0 : promptTokens / numSteps;
  const depths = Array.from({ length: numSteps }, (_, chunk) => contextDepth + (chunk + 0.5) * advance);
  return { numSteps, tokens: batch * advance, sequences: batch, depths };
}

function decodeOf({ promptTokens, outputTokens, contextDepth, batch }: Workload): Phase {
  const depths = [contextDepth + promptTokens + outputTokens / 2];
  return { numSteps: outputTokens, tokens: batch, sequences: batch, depths };
}
