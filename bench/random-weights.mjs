/**
 * Bytes of random tensors in file layout, made at the speed of a disk. Values have mean 0 and a chosen root mean square; the same seed and
 * name give the same bytes.
 */
import { byteLengthOf, dtypes, InvalidRequestError } from "@thermocline/spec";
import { float16Bits } from "./float16.mjs";

/** @typedef {"q4_0" | "q8_0" | "f16" | "f32"} RandomDType */

/** @type {readonly RandomDType[]} */
export const randomDTypes = ["q4_0", "q8_0", "f16", "f32"];

/** A multiple of every block size. */
const chunkElements = 1 << 21;

/** Root mean square of a block's integers, drawn evenly: -8 … 7, and -127 … 127 with 0 twice as often. */
const q4RootMeanSquare = Math.sqrt(21.5);
const q8RootMeanSquare = Math.sqrt((2 * 690_880) / 256);

/** Relative sizes of the scales of blocks; either sign, so that the uneven range of -8 … 7 has no bias. */
const relativeScales = [0.5, 0.75, 0.875, 1, 1, 1.125, 1.25, 1.5];

/**
 * FNV-1a of a text, continued from a seed.
 * @param {number} seed
 * @param {string} text
 */
function hash(seed, text) {
  let state = (0x811c9dc5 ^ Math.imul(seed, 0x9e3779b1)) >>> 0;
  for (let index = 0; index < text.length; index++) state = Math.imul(state ^ text.charCodeAt(index), 0x01000193);
  return state >>> 0;
}

/**
 * Marsaglia's xorshift128: fills arrays with 32-bit words.
 * @param {number} seed
 * @returns {(words: Uint32Array) => void}
 */
export function createRandomWords(seed) {
  let x = seed | 1;
  let y = Math.imul(seed, 0x6c078965) + 1;
  let z = Math.imul(y ^ (y >>> 30), 0x6c078965) + 2;
  let w = Math.imul(z ^ (z >>> 30), 0x6c078965) + 3;
  return (words) => {
    for (let index = 0; index < words.length; index++) {
      const t = x ^ (x << 11);
      x = y;
      y = z;
      z = w;
      w = w ^ (w >>> 19) ^ t ^ (t >>> 8);
      words[index] = w;
    }
  };
}

/**
 * @param {{ readonly name: string, readonly dtype: RandomDType, readonly numElements: number, readonly rootMeanSquare: number,
 *   readonly seed: number }} tensor
 * @returns {AsyncGenerator<Uint8Array, void, undefined>} Chunks that are valid until the next is asked for.
 */
export async function* randomWeightBytes({ name, dtype, numElements, rootMeanSquare, seed }) {
  if (!randomDTypes.includes(dtype))
    throw new InvalidRequestError("dtype", dtype, `${dtype} is not generated`, `use one of ${randomDTypes.join(", ")}`);
  const fillWords = createRandomWords(hash(seed, name));
  const shape = shapers[dtype](rootMeanSquare);
  const words = new Uint32Array(Math.ceil(byteLengthOf(dtype, Math.min(chunkElements, roundUp(numElements, dtype))) / 4));
  for (let first = 0; first < numElements; first += chunkElements) {
    const byteLength = byteLengthOf(dtype, Math.min(chunkElements, numElements - first));
    fillWords(words.subarray(0, Math.ceil(byteLength / 4)));
    shape(words.buffer, byteLength);
    yield new Uint8Array(words.buffer, 0, byteLength);
  }
}

/**
 * @param {number} numElements
 * @param {RandomDType} dtype
 */
function roundUp(numElements, dtype) {
  const { blockSize } = dtypes[dtype];
  return Math.ceil(numElements / blockSize) * blockSize;
}

/**
 * Turns random bytes into blocks, in place.
 * @typedef {(bytes: ArrayBuffer, byteLength: number) => void} Shaper
 * @type {Record<RandomDType, (rootMeanSquare: number) => Shaper>}
 */
const shapers = {
  q4_0: (rootMeanSquare) => {
    const scales = blockScales(rootMeanSquare / q4RootMeanSquare);
    return (bytes, byteLength) => {
      const halves = new Uint16Array(bytes, 0, byteLength / 2);
      for (let block = 0; block < halves.length; block += 9) halves[block] = scales[halves[block] & 15];
    };
  },
  q8_0: (rootMeanSquare) => {
    const scales = blockScales(rootMeanSquare / q8RootMeanSquare);
    return (bytes, byteLength) => {
      const values = new Int8Array(bytes, 0, byteLength);
      // Files hold -127 … 127: a scale is the block's largest magnitude over 127.
      for (let index = 0; index < byteLength; index++) if (values[index] === -128) values[index] = 0;
      const halves = new Uint16Array(bytes, 0, byteLength / 2);
      for (let block = 0; block < halves.length; block += 17) halves[block] = scales[halves[block] & 15];
    };
  },
  f16: (rootMeanSquare) => {
    const values = Uint16Array.from({ length: 4096 }, (_, index) => float16Bits(((index - 2047.5) / 2048) * Math.sqrt(3) * rootMeanSquare));
    return (bytes, byteLength) => {
      const halves = new Uint16Array(bytes, 0, byteLength / 2);
      for (let index = 0; index < halves.length; index++) halves[index] = values[halves[index] & 4095];
    };
  },
  f32: (rootMeanSquare) => {
    const step = (Math.sqrt(3) * rootMeanSquare) / 2 ** 31;
    return (bytes, byteLength) => {
      const integers = new Int32Array(bytes, 0, byteLength / 4);
      const floats = new Float32Array(bytes, 0, byteLength / 4);
      for (let index = 0; index < floats.length; index++) floats[index] = integers[index] * step;
    };
  },
};

/**
 * Sixteen scales as halves, both signs, with this root mean square.
 * @param {number} rootMeanSquare
 */
function blockScales(rootMeanSquare) {
  const norm = Math.sqrt(relativeScales.reduce((sum, scale) => sum + scale * scale, 0) / relativeScales.length);
  return Uint16Array.from([1, -1].flatMap((sign) => relativeScales.map((scale) => float16Bits((sign * scale * rootMeanSquare) / norm))));
}
