/** The tensor table: name, dimensions, type and offset of each tensor, checked against the file's size. */
import { byteLengthOf, type DType, dtypeOfGgmlType, dtypes } from "@thermocline/spec";
import type { HeaderCursor } from "./header-cursor.js";
import { limits } from "./limits.js";

/** Smallest entry: an empty name's length, a number of dimensions, a type and an offset. */
export const minimumTensorEntryBytes = 24;

export interface TensorEntry {
  readonly name: string;
  readonly dtype: DType;
  /** Row-major, outermost first. */
  readonly shape: readonly number[];
  /** From the start of the tensor data. */
  readonly offset: number;
  readonly byteLength: number;
  /** Where the entry and its offset field stand in the file, for errors. */
  readonly entryByteOffset: number;
  readonly offsetByteOffset: number;
}

export function readTensorEntry(cursor: HeaderCursor, index: number, alignment: number, isKnown: (name: string) => boolean): TensorEntry {
  cursor.enter("tensors", index);
  const entryByteOffset = cursor.offset;
  const name = cursor.name("name", limits.tensorNameBytes);
  if (isKnown(name)) cursor.fail("name", name, `repeats "${name}"`, entryByteOffset);
  cursor.enter("tensors", name);

  const rank = cursor.u32("dimensions");
  if (rank > limits.dimensions) cursor.fail("dimensions", rank, `are ${rank}, the most is ${limits.dimensions}`, cursor.offset - 4);
  const shapeByteOffset = cursor.offset;
  const shape: number[] = new Array(rank);
  let numElements = 1;
  for (let dimension = rank - 1; dimension >= 0; dimension--) {
    shape[dimension] = cursor.count("shape", Number.MAX_SAFE_INTEGER);
    numElements *= shape[dimension]!;
  }

  const typeByteOffset = cursor.offset;
  const ggmlType = cursor.u32("type");
  const dtype = dtypeOfGgmlType(ggmlType);
  if (dtype === undefined)
    return cursor.fail("type", ggmlType, `is ${ggmlType}, which names no ggml type`, typeByteOffset, "convert the model to a known type");
  const { blockSize, blockBytes } = dtypes[dtype];
  const rowLength = rank === 0 ? 1 : shape[rank - 1]!;
  if (rowLength % blockSize !== 0)
    cursor.fail("shape", rowLength, `has rows of ${rowLength}, no whole number of ${dtype} blocks of ${blockSize}`, shapeByteOffset);
  if ((numElements / blockSize) * blockBytes > Number.MAX_SAFE_INTEGER || numElements > Number.MAX_SAFE_INTEGER)
    cursor.fail("shape", shape.join("×"), `${shape.join("×")} overflows`, shapeByteOffset);

  const offsetByteOffset = cursor.offset;
  const offset = cursor.count("offset", Number.MAX_SAFE_INTEGER);
  if (offset % alignment !== 0) cursor.fail("offset", offset, `is ${offset}, no multiple of the alignment ${alignment}`, offsetByteOffset);
  return { name, dtype, shape, offset, byteLength: byteLengthOf(dtype, numElements), entryByteOffset, offsetByteOffset };
}

/** Refuses tensors that end past the file or share bytes: no writer makes either, so both mean a damaged table or a cut file. */
export function checkTensorRanges(cursor: HeaderCursor, entries: readonly TensorEntry[], dataOffset: number): void {
  for (const { name, offset, byteLength, offsetByteOffset } of entries) {
    const end = dataOffset + offset + byteLength;
    if (end <= cursor.fileByteLength) continue;
    cursor.enter("tensors", name);
    cursor.fail("offset", offset, `puts the tensor's end at ${end}, the file has ${cursor.fileByteLength} bytes`, offsetByteOffset);
  }
  const byOffset = entries.filter(({ byteLength }) => byteLength > 0).sort((a, b) => a.offset - b.offset);
  for (let index = 1; index < byOffset.length; index++) {
    const before = byOffset[index - 1]!;
    const { name, offset, offsetByteOffset } = byOffset[index]!;
    if (before.offset + before.byteLength <= offset) continue;
    cursor.enter("tensors", name);
    cursor.fail("offset", offset, `lies inside tensor "${before.name}"`, offsetByteOffset);
  }
}
