/**
 * Which layers of an architecture see a sliding window where its files do not say so: facts of the published models, which their converters
 * left to the program that reads the file.
 */

export interface WindowPattern {
  /** One layer of so many sees all of the context. */
  readonly period: number;
  /** That layer is the first of each period, not the last. */
  readonly isGlobalFirst?: boolean;
  /** The window where the file names none. */
  readonly slidingWindow?: number;
}

export const windowPatterns: ReadonlyMap<string, WindowPattern> = new Map(
  Object.entries({
    afmoe: { period: 4 },
    cohere2: { period: 4 },
    "exaone-moe": { period: 4 },
    exaone4: { period: 4 },
    "gemma-embedding": { period: 6 },
    gemma2: { period: 2, slidingWindow: 4096 },
    gemma3: { period: 6 },
    gemma3n: { period: 5 },
    "gpt-oss": { period: 2 },
    laguna: { period: 4, isGlobalFirst: true },
    // Chunks, of which a token sees no more than its own.
    llama4: { period: 4, slidingWindow: 8192 },
    "modern-bert": { period: 3, isGlobalFirst: true },
    olmo2: { period: 4 },
    plamo3: { period: 8 },
    smallthinker: { period: 4, isGlobalFirst: true },
  } satisfies Record<string, WindowPattern>),
);
