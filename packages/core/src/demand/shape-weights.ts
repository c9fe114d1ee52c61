/** Bytes of a unit's weights in a device's layout, whole or in parts. */
import type { BackendTraits, IndexRange, OffloadUnit, OpName, TensorInfo, TensorSlice, UnitBytes } from "@thermocline/spec";
import { alignUp } from "../graph/arena-plan.js";
import { boundOfParts } from "./part-bound.js";
import { expertTensor } from "./shape-feed-forward.js";
import type { ShapeUnit } from "./shape-units.js";

export type PackedUnit = Pick<UnitBytes, "weightBytes" | "part" | "shared">;

/** Undefined where the device lacks a kernel for one of the unit's tensors. `constantBytes`: what an engine writes beside the file's tensors. */
export function packUnit({ unit, tensors, shared }: ShapeUnit, traits: BackendTraits, constantBytes: number): PackedUnit | undefined {
  if (tensors.some((info) => info.shape.length > 1 && !traits.supports(opOf(unit, info), info.dtype))) return undefined;
  const weightBytes = packedBytes(unit, tensors, traits) + constantBytes;
  if (shared !== undefined) return { weightBytes, shared: { unit: shared.unit, byteLength: packedBytes(unit, shared.tensors, traits) } };
  if (unit.rows === undefined) return { weightBytes };
  const sliced = tensors.filter((info) => slicesOf(unit, info, []).length > 0);
  const fixedBytes =
    packedBytes(
      unit,
      tensors.filter((info) => !sliced.includes(info)),
      traits,
    ) + constantBytes;
  const bound = boundOfParts(unit.rows.count / unit.rows.blockSize, traits.alignment, (numBlocks) =>
    packedBytes(unit, sliced, traits, [[0, numBlocks * unit.rows!.blockSize]]),
  );
  return { weightBytes, part: { ...bound, fixedBytes: bound.fixedBytes + fixedBytes } };
}

/** Bytes of a part that has these rows. */
export function partBytes({ unit, tensors }: ShapeUnit, traits: BackendTraits, rows: readonly IndexRange[]): number {
  return packedBytes(unit, tensors, traits, rows);
}

/** The unit as a device sees it that holds these of its rows: matrices have as many fewer. */
export function partOf(shapeUnit: ShapeUnit, rows: readonly IndexRange[] | undefined): ShapeUnit {
  const { unit, tensors } = shapeUnit;
  if (rows === undefined || unit.kind === "experts") return shapeUnit;
  const count = rows.reduce((sum, [, length]) => sum + length, 0);
  return {
    ...shapeUnit,
    tensors: tensors.map((info) => {
      const pieces = slicesOf(unit, info, rows);
      if (pieces.length === 0) return info;
      const [[{ axis }]] = pieces as readonly [readonly [TensorSlice]];
      return { ...info, shape: info.shape.map((size, index) => (index === axis ? count * pieces.length : size)) };
    }),
  };
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
