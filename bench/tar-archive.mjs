/** Tar archives (POSIX ustar: a header of 512 bytes with name, octal size and prefix, then the data padded to 512) as they stream by. */

const blockByteLength = 512;

/**
 * The chunks of one file of an archive; nothing where the archive does not hold it. An empty file is one empty chunk.
 * @param {AsyncIterable<Uint8Array>} archive
 * @param {string} name
 * @returns {AsyncGenerator<Uint8Array, void, undefined>}
 */
export async function* fileInArchive(archive, name) {
  /** Bytes of a header that a chunk ended in. */
  let header = Buffer.alloc(0);
  let remaining = 0;
  let padding = 0;
  let isWanted = false;
  for await (const chunk of archive) {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    while (rest.length > 0) {
      if (remaining > 0) {
        const part = rest.subarray(0, remaining);
        remaining -= part.length;
        rest = rest.subarray(part.length);
        if (isWanted) yield part;
        if (isWanted && remaining === 0) return;
      } else if (padding > 0) {
        const skipped = Math.min(padding, rest.length);
        padding -= skipped;
        rest = rest.subarray(skipped);
      } else {
        const missing = blockByteLength - header.length;
        header = Buffer.concat([header, rest.subarray(0, missing)]);
        rest = rest.subarray(missing);
        if (header.length < blockByteLength) continue;
        if (header[0] === 0) return;
        const entry = readHeader(header);
        header = Buffer.alloc(0);
        isWanted = entry.name === name;
        remaining = entry.byteLength;
        padding = (blockByteLength - (remaining % blockByteLength)) % blockByteLength;
        if (isWanted && remaining === 0) {
          yield new Uint8Array(0);
          return;
        }
      }
    }
  }
}

/** @param {Buffer} header */
function readHeader(header) {
  /** @param {number} start @param {number} length */
  const text = (start, length) => header.toString("utf8", start, start + length).replace(/\0.*$/s, "");
  const prefix = text(257, 5) === "ustar" ? text(345, 155) : "";
  const name = text(0, 100);
  return { name: prefix === "" ? name : `${prefix}/${name}`, byteLength: Number.parseInt(text(124, 12), 8) };
}
