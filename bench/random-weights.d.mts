export type RandomDType = "q4_0" | "q8_0" | "f16" | "f32";
export const randomDTypes: readonly RandomDType[];
export function createRandomWords(seed: number): (words: Uint32Array) => void;
export function randomWeightBytes(tensor: {
  readonly name: string;
  readonly dtype: RandomDType;
  readonly numElements: number;
  readonly rootMeanSquare: number;
  readonly seed: number;
}): AsyncGenerator<Uint8Array, void, undefined>;
