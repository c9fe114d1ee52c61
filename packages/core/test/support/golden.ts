/** Golden files of an independent engine, and the distance of our log-probabilities from them. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { TokenLogprobs } from "@thermocline/spec";
import type { LoadedEngine } from "../../src/index.js";

export const repositoryRoot = fileURLToPath(new URL("../../../../", import.meta.url));
export const sharedData = resolve(repositoryRoot, "../shared/data");
export const hasSharedData = existsSync(resolve(sharedData, "golden"));
if (!hasSharedData) console.warn("golden tests skipped: ../shared/data is not there");

type Ranked = readonly (readonly [tokenId: number, logprob: number])[];

export interface GoldenCase {
  readonly promptTokenIds: readonly number[];
  readonly greedyTokenIds: readonly number[];
  readonly steps: readonly Ranked[];
  /** For the ids of `steps`, a float32 forward on the dequantised weights. */
  readonly exactLogprobs?: readonly (readonly number[])[];
}

export const modelPath = (name: string) => resolve(sharedData, "models", `${name}.gguf`);
export const readGolden = (name: string) =>
  (JSON.parse(readFileSync(resolve(sharedData, "golden", `${name}.json`), "utf8")) as { cases: readonly GoldenCase[] }).cases;

/** Feeds the prompt and then the golden tokens; the log-probabilities of every step. */
export async function teacherForce(
  engine: LoadedEngine,
  { promptTokenIds, greedyTokenIds }: GoldenCase,
  logprobs: number,
): Promise<readonly TokenLogprobs[]> {
  const steps: TokenLogprobs[] = [];
  for await (const event of engine.generate({
    prompt: promptTokenIds,
    forcedTokenIds: greedyTokenIds,
    sampling: { temperature: 0 },
    logprobs,
  })) {
    if (event.type === "text-delta") steps.push(...(event.logprobs ?? []));
  }
  return steps;
}

/** Mean and largest of absolute differences, pooled as they come. */
export class ErrorPool {
  count = 0;
  sum = 0;
  largest = 0;

  add(difference: number): void {
    const size = Math.abs(difference);
    this.count++;
    this.sum += size;
    if (!(size <= this.largest)) this.largest = size;
  }

  get mean(): number {
    return this.sum / this.count;
  }

  toString(): string {
    return `mean ${this.mean.toExponential(2)}, largest ${this.largest.toExponential(2)} of ${this.count}`;
  }
}

export interface GoldenComparison {
  /** Ours against the exact figures, and the golden engine's against them, over the ids that both report. */
  readonly ours: ErrorPool;
  readonly theirs: ErrorPool;
  /** Ours against the golden engine's. */
  readonly between: ErrorPool;
  /** Ids of the golden engine's that are not among ours. */
  missing: number;
  /** For each step the exact margin of the likeliest token over the next, and whether it was ours too. */
  readonly choices: { readonly margin: number; readonly agrees: boolean }[];
}

export const createComparison = (): GoldenComparison => ({
  ours: new ErrorPool(),
  theirs: new ErrorPool(),
  between: new ErrorPool(),
  missing: 0,
  choices: [],
});

/**
 * The near-tie rule: our likeliest token is the exact one wherever the exact margin exceeds twice the error bound. The bound comes from
 * elsewhere: a step's own error always explains its own choice.
 */
export function judgeChoices({ choices }: GoldenComparison, errorBound: number): { readonly wrong: number; readonly nearTies: number } {
  const clear = choices.filter(({ margin }) => margin > 2 * errorBound);
  return { wrong: clear.filter(({ agrees }) => !agrees).length, nearTies: choices.length - clear.length };
}

export function compareStep(comparison: GoldenComparison, ours: TokenLogprobs, golden: Ranked, exact: readonly number[] | undefined): void {
  const logprobOf = new Map(ours.top);
  golden.forEach(([id, logprob], rank) => {
    const mine = logprobOf.get(id);
    if (mine === undefined) {
      comparison.missing++;
      return;
    }
    comparison.between.add(mine - logprob);
    if (exact === undefined) return;
    comparison.ours.add(mine - exact[rank]!);
    comparison.theirs.add(logprob - exact[rank]!);
  });
  if (exact === undefined) return;
  const ranked = golden.map(([id], rank) => [id, exact[rank]!] as const).sort((a, b) => b[1] - a[1]);
  comparison.choices.push({ margin: ranked[0]![1] - ranked[1]![1], agrees: ours.top[0]![0] === ranked[0]![0] });
}
