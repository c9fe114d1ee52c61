/**
 * Vocabularies and merge lists: up to a million short strings. Making them takes longer than all the rest of a header, and whoever plans or
 * inspects a model asks for none of them, so that they are decoded when somebody does.
 */
import type { HeaderCursor } from "./header-cursor.js";
import { limits } from "./limits.js";

const scratchBytes = 1 << 18;
const lengthBytes = 8;
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** An array of strings in a header, each a length and its bytes; invalid UTF-8 becomes U+FFFD, as vocabularies hold parts of characters. */
export class StringArray {
  #strings: string[] | undefined;
  #cursor: HeaderCursor | undefined;

  constructor(
    cursor: HeaderCursor,
    private readonly start: number,
    readonly length: number,
  ) {
    this.#cursor = cursor;
  }

  /** Decoded at the first call. */
  get strings(): string[] {
    if (this.#strings === undefined) {
      this.#strings = decodeStrings(this.#cursor!.bytes, this.start, this.length);
      this.#cursor = undefined;
    }
    return this.#strings;
  }

  /** As of the strings, without decoding them. */
  indexOf(text: string): number {
    if (this.#strings !== undefined) return this.#strings.indexOf(text);
    const wanted = new TextEncoder().encode(text);
    const { bytes } = this.#cursor!;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let offset = this.start;
    for (let index = 0; index < this.length; index++) {
      const byteLength = view.getUint32(offset, true);
      offset += lengthBytes;
      // Few share length and first byte.
      const mayBe = byteLength === wanted.length && bytes[offset] === wanted[0];
      if (mayBe && wanted.every((byte, position) => bytes[offset + position] === byte)) return index;
      offset += byteLength;
    }
    return -1;
  }
}

/** Passes over `length` strings, which must all be there. */
export function readStringArray(cursor: HeaderCursor, length: number): StringArray {
  const start = cursor.offset;
  cursor.skipStrings(length, "value", limits.stringBytes);
  return new StringArray(cursor, start, length);
}

/**
 * The strings of a group are laid end to end with a NUL after each, decoded in one call and split. A NUL inside a string gives too many
 * parts, and then the group is decoded string by string. An incomplete sequence decodes the same before a NUL as at an end.
 */
function decodeStrings(bytes: Uint8Array, start: number, length: number): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const strings: string[] = [];
  const scratch = new Uint8Array(Math.min(scratchBytes, bytes.length - start));
  let offset = start;
  while (strings.length < length) {
    const groupStart = offset;
    let used = 0;
    let count = 0;
    for (; strings.length + count < length; count++) {
      const byteLength = view.getUint32(offset, true);
      if (used + byteLength + 1 > scratch.length) break;
      const from = offset + lengthBytes;
      for (let byte = 0; byte < byteLength; byte++) scratch[used + byte] = bytes[from + byte]!;
      used += byteLength;
      scratch[used++] = 0;
      offset = from + byteLength;
    }
    const parts = count === 0 ? [] : utf8.decode(scratch.subarray(0, used - 1)).split("\0");
    if (count > 0 && parts.length === count) {
      for (const part of parts) strings.push(part);
      continue;
    }
    offset = groupStart;
    for (let index = 0; index < Math.max(count, 1); index++) {
      const from = offset + lengthBytes;
      offset = from + view.getUint32(offset, true);
      strings.push(utf8.decode(bytes.subarray(from, offset)));
    }
  }
  return strings;
}
