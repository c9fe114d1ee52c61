/** A Blob: a browser's chosen file, or bytes in memory. */
import { FileAccessError } from "@thermocline/spec";
import { ShortReadError } from "./errors.js";
import { headBytes, type OpenedFile, type ShardFile } from "./shard-file.js";

export async function openBlobFile(blob: Blob): Promise<OpenedFile> {
  const name = "blob";
  const read: ShardFile["read"] = async (range, signal) => {
    signal?.throwIfAborted();
    const end = range.offset + range.byteLength;
    // A browser refuses when the file behind the blob has changed or gone.
    const buffer = await blob.slice(range.offset, end).arrayBuffer().catch(refuse);
    signal?.throwIfAborted();
    if (buffer.byteLength !== range.byteLength) throw new ShortReadError(name, range.offset, range.byteLength, buffer.byteLength);
    return new Uint8Array(buffer);
  };
  const head = await read({ offset: 0, byteLength: Math.min(headBytes, blob.size) });
  return { file: { location: { kind: "blob", blob }, name, byteLength: blob.size, read, close: async () => {} }, head };
}

function refuse(cause: unknown): never {
  throw new FileAccessError("blob", `cannot be read: ${(cause as Error).message}`, { cause });
}
