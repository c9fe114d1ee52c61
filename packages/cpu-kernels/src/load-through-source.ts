/** Loads a weight whose shard the addon cannot read: a URL or a Blob, through `source.read`, a piece ahead of the one that is packed. */
import { type IndexRange, InvalidTensorError, type LoadOptions, type ModelSource, type TensorInfo } from "@thermocline/spec";
import type { LoadTarget } from "./load-weight.js";
import { disposedError } from "./pending-requests.js";
import { rowsPerGroup, rowsPerPiece } from "./traits.js";
import type { WeightSlices } from "./weight-slices.js";

/** The row at which a piece from `first` on ends, of at most `maxRows` rows: a group of rows that are packed together is not cut. */
function endOfPiece({ numRows, matrixRows }: WeightSlices, first: number, maxRows: number): number {
  const end = first + maxRows;
  if (end >= numRows) return numRows;
  return end - ((matrixRows > 0 ? end % matrixRows : end) % rowsPerGroup);
}

/** Selected rows in pieces of whole groups; each piece as runs of consecutive file rows. */
function* piecesOf(slices: WeightSlices): Generator<readonly IndexRange[]> {
  const maxRows = rowsPerPiece(slices.rowByteLength);
  let runs: IndexRange[] = [];
  let row = 0;
  let end = endOfPiece(slices, 0, maxRows);
  for (const [rangeFirst, rangeCount] of slices.rowRanges) {
    for (let taken = 0; taken < rangeCount; ) {
      const count = Math.min(rangeCount - taken, end - row);
      runs.push([rangeFirst + taken, count]);
      taken += count;
      row += count;
      if (row < end) continue;
      yield runs;
      runs = [];
      end = endOfPiece(slices, row, maxRows);
    }
  }
}

const numRowsOf = (runs: readonly IndexRange[]) => runs.reduce((sum, [, count]) => sum + count, 0);

/** No read outlives the load: where it fails, the one that is under way is aborted and awaited. */
export async function loadThroughSource(
  target: LoadTarget,
  source: ModelSource,
  info: TensorInfo,
  slices: WeightSlices,
  { signal, onBytes }: LoadOptions,
): Promise<void> {
  const { native, buffer, into, device } = target;
  const { rowByteLength, packed } = slices;
  const ended = new AbortController();
  const readSignal = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal]);
  const throwIfEnded = () => {
    readSignal.throwIfAborted();
    if (target.isDisposed()) throw disposedError(device);
  };

  async function readRun([first, count]: IndexRange): Promise<Uint8Array> {
    const range = { offset: info.range.offset + first * rowByteLength, byteLength: count * rowByteLength };
    const bytes = await source.read(info.shard, range, { signal: readSignal });
    throwIfEnded();
    if (bytes.byteLength !== range.byteLength)
      throw new InvalidTensorError(info.name, `${range.byteLength} bytes at ${range.offset}`, `${bytes.byteLength} bytes`);
    onBytes?.(bytes.byteLength);
    return bytes;
  }

  async function readPiece(runs: readonly IndexRange[]): Promise<Uint8Array> {
    // Of one run, as nearly all are, nothing is copied.
    if (runs.length === 1) return await readRun(runs[0]!);
    const fileRows = new Uint8Array(numRowsOf(runs) * rowByteLength);
    let at = 0;
    for (const run of runs) {
      const bytes = await readRun(run);
      fileRows.set(bytes, at);
      at += bytes.byteLength;
    }
    return fileRows;
  }

  const pieces = piecesOf(slices);
  function requestPiece() {
    const { value: runs } = pieces.next();
    if (runs === undefined) return undefined;
    const reading = readPiece(runs);
    // It may fail before its turn to be awaited comes.
    reading.catch(() => {});
    return { numRows: numRowsOf(runs), reading };
  }

  let firstRow = 0;
  let piece = requestPiece();
  try {
    while (piece !== undefined) {
      const { numRows, reading } = piece;
      const fileRows = await reading;
      throwIfEnded();
      piece = requestPiece();
      native.storeRows(buffer, into.byteOffset, packed, firstRow, numRows, fileRows);
      firstRow += numRows;
    }
  } finally {
    ended.abort();
    await piece?.reading.catch(() => {});
  }
}
