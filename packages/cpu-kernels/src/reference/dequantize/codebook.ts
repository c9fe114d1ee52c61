/**
 * The codebooks of the iq types. A point has 8 elements (iq1, iq2) or 4 (iq3), each one of a few values; the point files hold the
 * index of each element's value, first element in the lowest bits.
 */
import { iq1sPoints } from "./codebook-points-iq1.js";
import { iq2sPoints, iq2xsPoints, iq2xxsPoints } from "./codebook-points-iq2.js";
import { iq3sPoints, iq3xxsPoints } from "./codebook-points-iq3.js";

/** All points one after the other. */
export type Codebook = Int8Array;

function decodePoints(points: string, elementsPerPoint: 4 | 8, values: readonly number[]): Codebook {
  const bytes = Uint8Array.from(atob(points), (character) => character.charCodeAt(0));
  const bitsPerElement = 16 / elementsPerPoint;
  const codebook = new Int8Array((bytes.length / 2) * elementsPerPoint);
  for (let i = 0; i < codebook.length; i++) {
    const point = Math.floor(i / elementsPerPoint);
    const word = bytes[2 * point]! | (bytes[2 * point + 1]! << 8);
    const index = (word >> ((i % elementsPerPoint) * bitsPerElement)) & ((1 << bitsPerElement) - 1);
    codebook[i] = values[index]!;
  }
  return codebook;
}

/** Decoded at the first use: most models need none. */
function lazily(decode: () => Codebook): () => Codebook {
  let codebook: Codebook | undefined;
  return () => {
    codebook ??= decode();
    return codebook;
  };
}

const iq2Values = [8, 25, 43];

export const codebooks = {
  iq1_s: lazily(() => decodePoints(iq1sPoints, 8, [-1, 0, 1])),
  iq2_xxs: lazily(() => decodePoints(iq2xxsPoints, 8, iq2Values)),
  iq2_xs: lazily(() => decodePoints(iq2xsPoints, 8, iq2Values)),
  iq2_s: lazily(() => decodePoints(iq2sPoints, 8, iq2Values)),
  iq3_xxs: lazily(() => decodePoints(iq3xxsPoints, 4, [4, 12, 20, 28, 36, 44, 52, 62])),
  iq3_s: lazily(() => decodePoints(iq3sPoints, 4, [1, 3, 5, 7, 9, 11, 13, 15])),
};

/** Sign masks of 8 elements from 7 stored bits: the eighth makes the number of minus signs even. */
export const evenSigns = Uint8Array.from({ length: 128 }, (_, bits) => {
  let parity = bits;
  parity ^= parity >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return bits | ((parity & 1) << 7);
});
