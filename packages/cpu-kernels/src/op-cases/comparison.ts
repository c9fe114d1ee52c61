import { CaseFailure, type PlainArray } from "./op-case.js";

/**
 * Compares f32 results with exact figures. An expected NaN marks an element that must still be NaN: outputs are filled with NaN first.
 * @throws CaseFailure naming the worst element, relative to its tolerance.
 */
export function expectClose(name: string, actual: PlainArray, expected: Float64Array, tolerance: Float64Array): void {
  let worst = -1;
  let worstShare = 1;
  let numWrong = 0;
  for (let i = 0; i < expected.length; i++) {
    if (withinTolerance(actual[i]!, expected[i]!, tolerance[i]!)) continue;
    numWrong++;
    const share = Math.abs(actual[i]! - expected[i]!) / tolerance[i]!;
    if (worst < 0 || !(share <= worstShare)) [worst, worstShare] = [i, share];
  }
  if (worst < 0) return;
  throw new CaseFailure(
    `${name}[${worst}] is ${actual[worst]}, expected ${expected[worst]} ± ${tolerance[worst]}; ${numWrong} of ${expected.length} elements are wrong`,
  );
}

function withinTolerance(actual: number, expected: number, tolerance: number): boolean {
  if (Number.isNaN(expected)) return Number.isNaN(actual);
  return actual === expected || Math.abs(actual - expected) <= tolerance;
}

/** @throws CaseFailure unless the bits are equal. */
export function expectSameBits(name: string, actual: PlainArray, expected: PlainArray): void {
  const actualBytes = bytesOf(actual);
  const expectedBytes = bytesOf(expected);
  let at = numEqualWords(actualBytes, expectedBytes) * 4;
  while (at < expectedBytes.length && actualBytes[at] === expectedBytes[at]) at++;
  if (at === expectedBytes.length && actualBytes.length === expectedBytes.length) return;
  const index = Math.floor(at / expected.BYTES_PER_ELEMENT);
  throw new CaseFailure(`${name}[${index}] is ${actual[index]}, expected exactly ${expected[index]}`);
}

/** Equal words of 4 bytes at the start; 0 where one of the arrays is not aligned. */
function numEqualWords(a: Uint8Array, b: Uint8Array): number {
  if (a.byteOffset % 4 !== 0 || b.byteOffset % 4 !== 0) return 0;
  const length = Math.min(a.length, b.length) >> 2;
  const aWords = new Uint32Array(a.buffer, a.byteOffset, length);
  const bWords = new Uint32Array(b.buffer, b.byteOffset, length);
  let at = 0;
  while (at < length && aWords[at] === bWords[at]) at++;
  return at;
}

export function bytesOf(array: PlainArray): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
