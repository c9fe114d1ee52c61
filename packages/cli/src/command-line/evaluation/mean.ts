/** A mean of figures that come one by one, with its standard error. */
export class RunningMean {
  #count = 0;
  #mean = 0;
  /** Sum of squared distances from the mean; Welford 1962. */
  #squares = 0;

  add(value: number): void {
    this.#count++;
    const distance = value - this.#mean;
    this.#mean += distance / this.#count;
    this.#squares += distance * (value - this.#mean);
  }

  get count(): number {
    return this.#count;
  }

  /** NaN before the first figure. */
  get mean(): number {
    return this.#count === 0 ? Number.NaN : this.#mean;
  }

  /** √(variance over n / (n - 1)), as llama.cpp states it; 0 for less than two figures. */
  get standardError(): number {
    return this.#count < 2 ? 0 : Math.sqrt(this.#squares / this.#count / (this.#count - 1));
  }
}

/** exp of a mean, its error carried over to first order. */
export function exponentOf({ mean, standardError }: RunningMean): { readonly value: number; readonly standardError: number } {
  const value = Math.exp(mean);
  return { value, standardError: value * standardError };
}

/** Linear between the neighbours; `sorted` ascends and is not empty. */
export function quantileOf(sorted: ArrayLike<number>, fraction: number): number {
  const position = fraction * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (position - below) * (sorted[above]! - sorted[below]!);
}
