/** Token ids that mean nothing and are the same in every run: speed does not depend on them, except through the prefix cache. */
import { uniformOf } from "@thermocline/spec";

/** `length` ids below vocabSize; equal seeds give equal ids. */
export function randomTokenIds(length: number, vocabSize: number, seed: number): number[] {
  return Array.from({ length }, (_, index) => Math.floor(uniformOf(seed, index) * vocabSize));
}
