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
  /** The key of the window where it is not `attention.sliding_window`: tokens in chunks, of which a token sees its own at most. */
  readonly key?: string;
}

export const windowPatterns: ReadonlyMap<string, WindowPattern> = new Map(
  Object.entries({
    gemma2: { period: 2, slidingWindow: 4096 },
    gemma3: { period: 6 },
    gemma3n: { period: 5 },
    "gemma-embedding": { period: 6 },
    cohere2: { period: 4 },
    llama4: { period: 4, slidingWindow: 8192, key: "attention.chunk_size" },
    "gpt-oss": { period: 2 },
    exaone4: { period: 4 },
    smallthinker: { period: 4, isGlobalFirst: true },
    olmo2: { period: 4 },
    "modern-bert": { period: 3, isGlobalFirst: true },
    plamo3: { period: 8 },
    afmoe: { period: 4 },
  } satisfies Record<string, WindowPattern>),
);
