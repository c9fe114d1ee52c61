/** Reads a weight from its file and stores it as f32. */
import {
  byteLengthOf,
  fileRow,
  type IndexRange,
  InvalidTensorError,
  type LoadOptions,
  type ModelSource,
  numElementsOf,
  rowRuns,
  sliceTensor,
  type TensorInfo,
} from "@thermocline/spec";
import { yieldToEventLoop } from "./clock.js";
import { dequantizeRows } from "./dequantize/index.js";

const pieceByteLength = 1 << 20;

/** File rows that are read at once, at most: a row where these are longer. */
export function rowsPerPiece(rowByteLength: number): number {
  return Math.max(1, Math.floor(pieceByteLength / Math.max(1, rowByteLength)));
}

/** Rows that nobody wants are read along when they lie between wanted ones and take no more than this. */
const gapByteLength = 1 << 16;

/** Groups of runs, each read at once. */
function* pieces(runs: readonly IndexRange[], rowByteLength: number): Generator<readonly IndexRange[]> {
  const maxRows = rowsPerPiece(rowByteLength);
  const maxGap = Math.floor(gapByteLength / rowByteLength);
  let piece: IndexRange[] = [];
  for (const [runFirst, runCount] of runs) {
    for (let first = runFirst; first < runFirst + runCount; ) {
      const last = piece.at(-1);
      if (last !== undefined && (first - last[0] - last[1] > maxGap || first - piece[0]![0] >= maxRows)) {
        yield piece;
        piece = [];
      }
      const room = maxRows - (piece.length === 0 ? 0 : first - piece[0]![0]);
      const count = Math.min(room, runFirst + runCount - first);
      piece.push([first, count]);
      first += count;
    }
  }
  if (piece.length > 0) yield piece;
}

/**
 * Writes the sliced elements in order to `out`, which holds exactly as many.
 * @throws InvalidTensorError where the file's bytes do not fit the tensor's shape; the signal's reason when it is aborted.
 */
export async function loadWeight(source: ModelSource, info: TensorInfo, out: Float32Array, options: LoadOptions = {}): Promise<void> {
  const { signal, onBytes } = options;
  const { columns, byteLength: rowByteLength } = fileRow(info);
  const expectedBytes = rowByteLength * numElementsOf(info.shape.slice(0, -1));
  if (info.range.byteLength !== expectedBytes)
    throw new InvalidTensorError(
      info.name,
      `${expectedBytes} bytes for [${info.shape}] in ${info.dtype}`,
      `${info.range.byteLength} bytes`,
    );
  const { ranges } = sliceTensor(info, options.slices);
  const columnRanges = ranges.at(-1) ?? [[0, columns]];
  let at = 0;
  signal?.throwIfAborted();
  if (rowByteLength === 0) return;
  for (const piece of pieces(rowRuns(info.shape, ranges), rowByteLength)) {
    const firstRow = piece[0]![0];
    const endRow = piece.at(-1)![0] + piece.at(-1)![1];
    const range = { offset: info.range.offset + firstRow * rowByteLength, byteLength: (endRow - firstRow) * rowByteLength };
    const bytes = await source.read(info.shard, range, signal === undefined ? {} : { signal });
    signal?.throwIfAborted();
    if (bytes.byteLength !== range.byteLength)
      throw new InvalidTensorError(info.name, `${range.byteLength} bytes at ${range.offset}`, `${bytes.byteLength} bytes`);
    onBytes?.(range.byteLength);
    for (const [first, count] of piece)
      for (let row = first; row < first + count; row++)
        for (const [firstColumn, numColumns] of columnRanges) {
          const start = (row - firstRow) * rowByteLength + byteLengthOf(info.dtype, firstColumn);
          const end = start + byteLengthOf(info.dtype, numColumns);
          dequantizeRows(info.dtype, bytes.subarray(start, end), out.subarray(at, at + numColumns));
          at += numColumns;
        }
    await yieldToEventLoop();
    signal?.throwIfAborted();
  }
}
