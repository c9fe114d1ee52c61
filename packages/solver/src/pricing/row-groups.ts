/** Rows that are placed together. */
import { assert, type IndexRange, type OffloadUnit } from "@thermocline/spec";

/** Packed layouts pad the rows of a matrix to a multiple of this. */
const rowAlignment = 16;

/** Rows that one device holds; always whole blocks. */
export interface RowGroup {
  /** Numbers of its blocks, in no order. */
  readonly blocks: Int32Array;
  readonly numRows: number;
}

/** Experts one by one; neurons in groups of about `neuronsPerGroup`, hottest first where their frequencies are known. */
export function rowGroupsOf(unit: OffloadUnit, neuronsPerGroup: number): readonly RowGroup[] {
  const { count, blockSize } = unit.rows!;
  const numBlocks = Math.ceil(count / blockSize);
  const step = leastCommonMultiple(blockSize, rowAlignment) / blockSize;
  const blocksPerGroup = unit.kind === "experts" ? 1 : Math.ceil(neuronsPerGroup / blockSize / step) * step;
  const order = blocksByFrequency(unit, numBlocks);
  return Array.from({ length: Math.ceil(numBlocks / blocksPerGroup) }, (_, group): RowGroup => {
    const blocks = order.subarray(group * blocksPerGroup, (group + 1) * blocksPerGroup);
    const isLast = (group + 1) * blocksPerGroup >= numBlocks;
    return { blocks, numRows: blocks.length * blockSize - (isLast ? numBlocks * blockSize - count : 0) };
  });
}

/** The block that may be short comes last, so that all groups but the last have equally many rows. */
function blocksByFrequency({ rows }: OffloadUnit, numBlocks: number): Int32Array {
  const { count, blockSize, activationFrequencies } = rows!;
  if (activationFrequencies === undefined) return Int32Array.from({ length: numBlocks }, (_, block) => block);
  // Typed arrays sort natively: a key holds the frequency's complement in 30 bits, then the block's number.
  assert(numBlocks <= 2 ** 22, "block numbers fit into 22 bits");
  const numSorted = count % blockSize === 0 ? numBlocks : numBlocks - 1;
  const keys = new Float64Array(numSorted);
  for (let block = 0; block < numSorted; block++) {
    let sum = 0;
    for (let row = block * blockSize; row < (block + 1) * blockSize; row++) sum += activationFrequencies[row]!;
    keys[block] = Math.round((1 - sum / blockSize) * 2 ** 30) * 2 ** 22 + block;
  }
  keys.sort();
  return Int32Array.from({ length: numBlocks }, (_, index) => (index < numSorted ? keys[index]! % 2 ** 22 : index));
}

/** Ascending, with ranges that touch made one. */
export function rangesOf({ rows }: OffloadUnit, groups: readonly RowGroup[]): readonly IndexRange[] {
  const { count, blockSize } = rows!;
  const blocks = new Int32Array(groups.reduce((sum, group) => sum + group.blocks.length, 0));
  let filled = 0;
  for (const group of groups) {
    blocks.set(group.blocks, filled);
    filled += group.blocks.length;
  }
  blocks.sort();
  const ranges: [number, number][] = [];
  for (const block of blocks) {
    const first = block * blockSize;
    const length = Math.min(blockSize, count - first);
    const last = ranges.at(-1);
    if (last !== undefined && last[0] + last[1] === first) last[1] += length;
    else ranges.push([first, length]);
  }
  return ranges;
}

function leastCommonMultiple(a: number, b: number): number {
  const divisor = (x: number, y: number): number => (y === 0 ? x : divisor(y, x % y));
  return (a / divisor(a, b)) * b;
}
