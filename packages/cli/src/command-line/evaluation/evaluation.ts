import { type Distribution, divergenceOf, surpriseOf } from "./distribution.js";
import { exponentOf, quantileOf, RunningMean } from "./mean.js";

interface Figure {
  readonly value: number;
  readonly standardError: number;
}

export interface EvaluationResult {
  readonly scoredTokens: number;
  readonly meanNegativeLogLikelihood: number;
  readonly perplexity: Figure;
  /** Where a base model was measured too. */
  readonly against?: {
    readonly perplexity: Figure;
    /** The model's perplexity over the base's. */
    readonly perplexityRatio: Figure;
    /** KL(base || model) in nats over the positions. */
    readonly divergence: Figure & { readonly median: number; readonly percentile99: number; readonly maximum: number };
    /** Share of positions where both find the same token likeliest. */
    readonly sameTopToken: Figure;
  };
}

/** Sums up the positions of a text, of one model or beside a base model. */
export class Evaluation {
  readonly #surprise = new RunningMean();
  readonly #baseSurprise = new RunningMean();
  readonly #difference = new RunningMean();
  readonly #sameTop = new RunningMean();
  readonly #divergence = new RunningMean();
  readonly #divergences: number[] = [];

  /** `nextToken` is the one that came. */
  add(nextToken: number, model: Distribution, base?: Distribution): void {
    const surprise = surpriseOf(model, nextToken);
    this.#surprise.add(surprise);
    if (base === undefined) return;
    const baseSurprise = surpriseOf(base, nextToken);
    this.#baseSurprise.add(baseSurprise);
    this.#difference.add(surprise - baseSurprise);
    this.#sameTop.add(model.topToken === base.topToken ? 1 : 0);
    const divergence = divergenceOf(base, model);
    this.#divergence.add(divergence);
    this.#divergences.push(divergence);
  }

  get scoredTokens(): number {
    return this.#surprise.count;
  }

  get perplexity(): Figure {
    return exponentOf(this.#surprise);
  }

  /** Of at least one position. */
  result(): EvaluationResult {
    const single = { scoredTokens: this.scoredTokens, meanNegativeLogLikelihood: this.#surprise.mean, perplexity: this.perplexity };
    if (this.#divergences.length === 0) return single;
    const sorted = Float64Array.from(this.#divergences).sort();
    return {
      ...single,
      against: {
        perplexity: exponentOf(this.#baseSurprise),
        perplexityRatio: exponentOf(this.#difference),
        divergence: {
          ...figureOf(this.#divergence),
          median: quantileOf(sorted, 0.5),
          percentile99: quantileOf(sorted, 0.99),
          maximum: sorted.at(-1)!,
        },
        sameTopToken: figureOf(this.#sameTop),
      },
    };
  }
}

function figureOf({ mean, standardError }: RunningMean): Figure {
  return { value: mean, standardError };
}
