/**
 * Reads values one after the other from the part of a file that has been fetched so far. Reading past that part throws NeedMoreBytes,
 * reading past the file throws GgufFormatError: so a parser is plain synchronous code, and is called again from its last `commit`
 * once more bytes are there. An awaited call per value would cost more than the parsing.
 */
import { GgufFormatError } from "./errors.js";
import { limits } from "./limits.js";

/** Not an error: control flow between a cursor and the loop that fills it. */
export class NeedMoreBytes {
  constructor(
    /** The file must have been read up to here, at least. */
    readonly endOffset: number,
  ) {}
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class HeaderCursor {
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #view = new DataView(this.#bytes.buffer);
  #committed = 0;
  #section = "";
  #entry: string | number = "";
  offset = 0;

  constructor(
    readonly location: string,
    readonly fileByteLength: number,
  ) {}

  /** The file from its start, as far as it was read. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  /** Bytes between the cursor and the end of the file. */
  get bytesLeft(): number {
    return this.fileByteLength - this.offset;
  }

  /** Replaces the bytes by a longer part of the same file and goes back to the last `commit`. */
  resume(bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.offset = this.#committed;
  }

  commit(): void {
    this.#committed = this.offset;
  }

  /** Names what is being read, for errors: `section[entry].field`. */
  enter(section: string, entry: string | number): void {
    this.#section = section;
    this.#entry = entry;
  }

  fieldName(field: string): string {
    return this.#section === "" ? field : `${this.#section}[${this.#entry}].${field}`;
  }

  fail(field: string, value: string | number | bigint, problem: string, byteOffset: number, cure?: string): never {
    const plainValue = typeof value === "bigint" ? value.toString() : value;
    throw new GgufFormatError(this.location, this.fieldName(field), plainValue, byteOffset, problem, cure);
  }

  need(byteLength: number, field: string): void {
    const end = this.offset + byteLength;
    if (end <= this.#bytes.length) return;
    if (end > this.fileByteLength)
      this.fail(field, this.bytesLeft, `needs ${byteLength} bytes, the file has ${this.bytesLeft} more`, this.offset);
    if (end > limits.headerBytes) this.fail(field, end, `lies beyond the ${limits.headerBytes} bytes that a header may take`, this.offset);
    throw new NeedMoreBytes(end);
  }

  /** Moves past `byteLength` bytes that must be there, and gives their offset. */
  take(byteLength: number, field: string): number {
    this.need(byteLength, field);
    const start = this.offset;
    this.offset = start + byteLength;
    return start;
  }

  u8(field: string): number {
    return this.#view.getUint8(this.take(1, field));
  }
  i8(field: string): number {
    return this.#view.getInt8(this.take(1, field));
  }
  u16(field: string): number {
    return this.#view.getUint16(this.take(2, field), true);
  }
  i16(field: string): number {
    return this.#view.getInt16(this.take(2, field), true);
  }
  u32(field: string): number {
    return this.#view.getUint32(this.take(4, field), true);
  }
  i32(field: string): number {
    return this.#view.getInt32(this.take(4, field), true);
  }
  f32(field: string): number {
    return this.#view.getFloat32(this.take(4, field), true);
  }
  f64(field: string): number {
    return this.#view.getFloat64(this.take(8, field), true);
  }

  /** A `number` where that is exact. */
  u64(field: string): number | bigint {
    const start = this.take(8, field);
    const high = this.#view.getUint32(start + 4, true);
    return high < 0x200000 ? high * 0x100000000 + this.#view.getUint32(start, true) : this.#view.getBigUint64(start, true);
  }

  /** A `number` where that is exact. */
  i64(field: string): number | bigint {
    const value = this.#view.getBigInt64(this.take(8, field), true);
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
  }

  /** A 64-bit count, length or offset that must not exceed `most`. */
  count(field: string, most: number): number {
    const value = this.u64(field);
    if (typeof value === "bigint" || value > most) this.fail(field, value, `is ${value}, the most is ${most}`, this.offset - 8);
    return value;
  }

  /** A length that the file can still hold; leaves the cursor at the string's first byte. */
  stringLength(field: string, most: number): number {
    const byteLength = this.count(field, most);
    if (byteLength > this.bytesLeft)
      this.fail(field, byteLength, `says ${byteLength} bytes, the file has ${this.bytesLeft} more`, this.offset - 8);
    return byteLength;
  }

  /** Moves past `count` strings, which must all be there. */
  skipStrings(count: number, field: string, most: number): void {
    const view = this.#view;
    const { length } = this.#bytes;
    for (let index = 0; index < count; index++) {
      const start = this.offset;
      // What nearly every string is: shorter than 2^32 bytes, and there.
      if (start + 8 <= length && view.getUint32(start + 4, true) === 0) {
        const byteLength = view.getUint32(start, true);
        if (byteLength <= most && start + 8 + byteLength <= length) {
          this.offset = start + 8 + byteLength;
          continue;
        }
      }
      this.take(this.stringLength(field, most), field);
    }
  }

  /** A string value: invalid UTF-8 becomes U+FFFD, for a stray byte in a description is no reason to refuse a model. */
  text(field: string): string {
    const byteLength = this.stringLength(field, limits.stringBytes);
    const start = this.take(byteLength, field);
    return this.decode(start, byteLength);
  }

  /** A key or tensor name: not empty, and valid UTF-8, for a replaced character could make two names equal. */
  name(field: string, most: number): string {
    const start = this.offset;
    const byteLength = this.stringLength(field, most);
    if (byteLength === 0) this.fail(field, "", "is empty", start);
    const textStart = this.take(byteLength, field);
    const bytes = this.#bytes.subarray(textStart, this.offset);
    try {
      return strictUtf8.decode(bytes);
    } catch {
      const hex = Array.from(bytes.subarray(0, 32), (byte) => byte.toString(16).padStart(2, "0")).join("");
      return this.fail(field, hex, "is not valid UTF-8", textStart);
    }
  }

  decode(start: number, byteLength: number): string {
    return utf8.decode(this.#bytes.subarray(start, start + byteLength));
  }
}
