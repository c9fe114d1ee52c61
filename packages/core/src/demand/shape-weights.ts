/** Bytes of a unit's weights in a device's layout, whole or in parts. */
import type { BackendTraits, IndexRange, OffloadUnit, OpName, TensorInfo, TensorSlice } from "@thermocline/spec";
import { alignUp } from "../graph/arena-plan.js";
import { expertTensor } from "./shape-feed-forward.js";
import type { ShapeUnit } from "./shape-units.js";

export interface PackedUnit {
  readonly weightBytes: number;
  readonly part?: { readonly fixedBytes: number; readonly bytesPerBlock: number };
}

/** Undefined where the device lacks a kernel for one of the unit's tensors. `constantBytes`: what an engine writes beside the file's tensors. */
export function packUnit({ unit, tensors }: ShapeUnit, traits: BackendTraits, constantBytes: number): PackedUnit | undefined {
  if (tensors.some((info) => info.shape.length > 1 && !traits.supports(opOf(unit, info), info.dtype))) return undefined;
  const weightBytes = packedBytes(unit, tensors, traits) + constantBytes;
  if (unit.rows === undefined) return { weightBytes };
  const sliced = tensors.filter((info) => slicesOf(unit, info, []).length > 0);
  const fixedBytes =
    packedBytes(
      unit,
      tensors.filter((info) => !sliced.includes(info)),
      traits,
    ) + constantBytes;
  const bound = boundOfParts(unit.rows.count / unit.rows.blockSize, (numBlocks) =>
    packedBytes(unit, sliced, traits, [[0, numBlocks * unit.rows!.blockSize]]),
  );
  return { weightBytes, part: { ...bound, fixedBytes: bound.fixedBytes + fixedBytes } };
}

/** Bytes of a part that has these rows. */
export function partBytes({ unit, tensors }: ShapeUnit, traits: BackendTraits, constantBytes: number, rows: readonly IndexRange[]): number {
  return packedBytes(unit, tensors, traits, rows) + constantBytes;
}

function packedBytes(unit: OffloadUnit, tensors: readonly TensorInfo[], traits: BackendTraits, rows?: readonly IndexRange[]): number {
  let sum = 0;
  for (const info of tensors) {
    const pieces = rows === undefined ? [[]] : slicesOf(unit, info, rows);
    for (const slices of pieces.length === 0 ? [[]] : pieces) sum += alignUp(traits.packedByteLength(info, slices), traits.alignment);
  }
  return sum;
}

/** What a part with these rows has of a tensor, one entry for each matrix that it becomes; none for a tensor that every part has whole. */
function slicesOf(
  { kind, rows }: OffloadUnit,
  { name, shape }: TensorInfo,
  ranges: readonly IndexRange[],
): readonly (readonly TensorSlice[])[] {
  if (rows === undefined) return [];
  const { count } = rows;
  const slice = (axis: number) => [[{ axis, ranges }]];
  const ownName = name.replace(/^blk\.\d+\./, "");
  if (kind === "experts") return expertTensor.test(ownName) && shape[0] === count ? slice(0) : [];
  if (ownName === "ffn_down.weight") return slice(shape.length - 1);
  if (!/^ffn_(gate|up|down_t)\./.test(ownName)) return [];
  if (shape[0] === count) return slice(0);
  // The rows of the gate and, after them, those of up.
  if (shape[0] !== 2 * count) return [];
  const ofUp = ranges.map(([first, length]) => [count + first, length] as const);
  return [[{ axis: 0, ranges }], [{ axis: 0, ranges: ofUp }]];
}

function opOf({ kind }: OffloadUnit, { name, shape }: TensorInfo): OpName {
  if (kind === "embedding") return "embed";
  return shape.length === 3 && name.includes("_exps.") ? "expertMatmul" : "matmul";
}

/** Counts up to which every size of a part is looked at; layouts pad in groups far smaller. */
const exhaustiveCount = 1024;

/** The least line of the slope of the whole that no part lies above. */
function boundOfParts(
  numBlocks: number,
  bytesOf: (numBlocks: number) => number,
): { readonly fixedBytes: number; readonly bytesPerBlock: number } {
  const bytesPerBlock = bytesOf(numBlocks) / numBlocks;
  let fixedBytes = 0;
  for (let blocks = 1; blocks <= numBlocks; blocks++) {
    if (blocks > exhaustiveCount && blocks <= numBlocks - exhaustiveCount) blocks = numBlocks - exhaustiveCount + 1;
    fixedBytes = Math.max(fixedBytes, bytesOf(blocks) - bytesPerBlock * blocks);
  }
  return { fixedBytes: Math.ceil(fixedBytes), bytesPerBlock: Math.ceil(bytesPerBlock) };
}
