/** Vocabularies and merge lists: up to a million short strings, for which a decoder call each would dominate opening. */
import type { HeaderCursor } from "./header-cursor.js";
import { limits } from "./limits.js";

const scratchBytes = 1 << 18;
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * `length` strings; invalid UTF-8 becomes U+FFFD, as vocabularies of real files hold tokens that are parts of characters.
 *
 * The strings of a group are laid end to end with a NUL after each, decoded in one call and split. A NUL inside a string gives too many
 * parts, and then the group is decoded string by string. An incomplete sequence decodes the same before a NUL as at an end.
 */
export function readStringArray(cursor: HeaderCursor, length: number): string[] {
  const start = cursor.offset;
  // All bytes must be there before anything is decoded, as running out of them starts over.
  for (let index = 0; index < length; index++) cursor.take(cursor.stringLength("value", limits.stringBytes), "value");
  cursor.offset = start;

  const strings: string[] = [];
  const scratch = new Uint8Array(Math.min(scratchBytes, cursor.bytesLeft));
  const { bytes } = cursor;
  while (strings.length < length) {
    const groupStart = cursor.offset;
    const most = length - strings.length;
    let used = 0;
    let count = 0;
    for (; count < most; count++) {
      const stringStart = cursor.offset;
      const byteLength = cursor.stringLength("value", limits.stringBytes);
      if (used + byteLength + 1 > scratch.length) {
        cursor.offset = stringStart;
        break;
      }
      const from = cursor.take(byteLength, "value");
      for (let byte = 0; byte < byteLength; byte++) scratch[used + byte] = bytes[from + byte]!;
      used += byteLength;
      scratch[used++] = 0;
    }
    const parts = count === 0 ? [] : utf8.decode(scratch.subarray(0, used - 1)).split("\0");
    if (count > 0 && parts.length === count) {
      for (const part of parts) strings.push(part);
      continue;
    }
    cursor.offset = groupStart;
    for (let index = 0; index < Math.max(count, 1); index++) strings.push(cursor.text("value"));
  }
  return strings;
}
