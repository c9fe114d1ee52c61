/**
 * GPT-2's printable stand-ins for bytes, in which byte-level vocabularies are written: printable Latin-1 bytes stand for
 * themselves, the other 68 are U+0100 and up, in order of their value.
 */

function buildAlphabet(): readonly string[] {
  let shifted = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : 0x100 + shifted++);
  });
}

/** `charOfByte[b]` is the character that stands for byte b. */
export const charOfByte = buildAlphabet();

const byteOfChar = new Map(charOfByte.map((char, byte) => [char, byte]));
const utf8 = new TextEncoder();

/** Bytes of a token written in the alphabet; a character outside it stands for its own UTF-8. */
export function bytesOfByteLevelText(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const char of text) {
    const byte = byteOfChar.get(char);
    if (byte === undefined) bytes.push(...utf8.encode(char));
    else bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
