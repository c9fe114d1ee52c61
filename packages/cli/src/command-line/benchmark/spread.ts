/** Repeated measurements of one thing. */
export interface Spread {
  readonly median: number;
  readonly minimum: number;
  readonly maximum: number;
  /** In order of measurement. */
  readonly samples: readonly number[];
}

/** Of at least one sample. */
export function spreadOf(samples: readonly number[]): Spread {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return { median: (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2, minimum: sorted[0]!, maximum: sorted.at(-1)!, samples };
}
