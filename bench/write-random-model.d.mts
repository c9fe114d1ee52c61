import type { RandomDType } from "./random-weights.mjs";

export interface RandomModelShape {
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly intermediateSize: number;
  readonly vocabularySize: number;
  readonly contextLength: number;
  /** Each layer has this many experts of `intermediateSize`, and each token uses so many of them; absent, both: a dense model. */
  readonly numExperts?: number;
  readonly numUsedExperts?: number;
}

export type RandomModelShapeName = "1.1b" | "150m" | "490m-moe" | "tiny";
export const modelShapes: Readonly<Record<RandomModelShapeName, RandomModelShape>>;

export interface RandomModelOptions {
  readonly path: string;
  readonly shape: RandomModelShapeName | RandomModelShape;
  /** Of the matrices; norms are f32. Default: q4_0. */
  readonly dtype?: RandomDType;
  /** Equal seeds give equal files. Default: 1. */
  readonly seed?: number;
  readonly signal?: AbortSignal;
}

/** @throws InvalidRequestError for a shape that no file can hold, FileAccessError, or the signal's reason. */
export function writeRandomModel(options: RandomModelOptions): Promise<{ readonly byteLength: number }>;
/** Where `randomModelPath` keeps a model; it need not be there. */
export function randomModelCachePath(shape: RandomModelShapeName, dtype?: RandomDType): string;
/** The model in the cache folder, written where it is missing. */
export function randomModelPath(shape: RandomModelShapeName, dtype?: RandomDType): Promise<string>;
