import { bytesOf, expectSameBits } from "./comparison.js";
import type { OpStep, PlainArray } from "./op-case.js";

/** Numbers of rows that every op is tried with. */
export const batchSizes = [0, 1, 2, 3, 5, 8, 17, 33] as const;
export const maxBatchSize = 33;

/**
 * Runs every row alone, then batches of them in both orders: each row's bits must be those that it has alone.
 * `stepOf` makes the step for some rows; `bitsOf` cuts the bits of the row at a place of the batch out of the outputs.
 */
export function invarianceSteps(
  numRows: number,
  stepOf: (rows: readonly number[]) => OpStep,
  bitsOf: (outputs: Readonly<Record<string, PlainArray>>, place: number) => readonly PlainArray[],
): OpStep[] {
  const alone: Uint8Array[][] = [];
  const cut = (outputs: Readonly<Record<string, PlainArray>>, place: number) => bitsOf(outputs, place).map((part) => bytesOf(part).slice());
  const singles = Array.from({ length: numRows }, (_, row) => ({
    ...stepOf([row]),
    check(outputs: Readonly<Record<string, PlainArray>>) {
      alone[row] = cut(outputs, 0);
    },
  }));
  const batches = batchSizes
    .filter((size) => size > 1 && size <= numRows)
    .flatMap((size) => {
      const ascending = Array.from({ length: size }, (_, row) => row);
      return [ascending, ascending.map((row) => numRows - 1 - row)];
    })
    .map((rows) => ({
      ...stepOf(rows),
      check: (outputs: Readonly<Record<string, PlainArray>>) => {
        for (const [place, row] of rows.entries())
          for (const [part, bits] of cut(outputs, place).entries())
            expectSameBits(`bytes of row ${row} at place ${place} of ${rows.length}`, bits, alone[row]![part]!);
      },
    }));
  return [...singles, ...batches];
}

/** Rows of a row-major array, one after the other. */
export function pickRows<A extends PlainArray>(array: A, rowLength: number, rows: readonly number[]): A {
  const picked = array.slice(0, rows.length * rowLength) as A;
  for (const [place, row] of rows.entries()) picked.set(array.subarray(row * rowLength, (row + 1) * rowLength), place * rowLength);
  return picked;
}

/** Outputs before a step: whatever an op does not write stays NaN. */
export function blank(length: number): Float32Array {
  return new Float32Array(length).fill(Number.NaN);
}
