/** A llama-shaped model of random weights, for tests of the engine, which may run a thousand steps of it. It has no vocabulary. */
import type { ModelSource } from "@thermocline/spec";
import { openRandomModel, randomPrompt } from "./random-model.js";

export const tinyVocabSize = 256;

export const openTinyModel = (seed = 1): Promise<ModelSource> =>
  openRandomModel("llama", { seed, shape: { numLayers: 4, feedForwardLength: 256, vocabSize: tinyVocabSize }, hasVocabulary: false });

/** A prompt of token ids. */
export const tinyPrompt = (length: number, seed: number): readonly number[] => randomPrompt(length, seed, tinyVocabSize);
