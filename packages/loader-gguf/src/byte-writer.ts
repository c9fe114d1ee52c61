/** Little-endian values into a buffer that grows. */
const utf8 = new TextEncoder();

export class ByteWriter {
  #bytes = new Uint8Array(1 << 12);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  get byteLength(): number {
    return this.#length;
  }

  /** Room for `byteLength` more bytes, and where it begins. */
  #extend(byteLength: number): number {
    const start = this.#length;
    this.#length += byteLength;
    if (this.#length > this.#bytes.length) {
      const longer = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length));
      longer.set(this.#bytes.subarray(0, start));
      this.#bytes = longer;
      this.#view = new DataView(longer.buffer);
    }
    return start;
  }

  // The buffer may be replaced by `#extend`, so it comes first.
  u8(value: number): void {
    const start = this.#extend(1);
    this.#view.setUint8(start, value);
  }
  u16(value: number): void {
    const start = this.#extend(2);
    this.#view.setUint16(start, value, true);
  }
  u32(value: number): void {
    const start = this.#extend(4);
    this.#view.setUint32(start, value, true);
  }
  f32(value: number): void {
    const start = this.#extend(4);
    this.#view.setFloat32(start, value, true);
  }
  f64(value: number): void {
    const start = this.#extend(8);
    this.#view.setFloat64(start, value, true);
  }
  /** Negative values as two's complement. */
  u64(value: number | bigint): void {
    const start = this.#extend(8);
    if (typeof value === "bigint" || value < 0) {
      this.#view.setBigUint64(start, BigInt.asUintN(64, BigInt(value)), true);
      return;
    }
    this.#view.setUint32(start, value % 0x100000000, true);
    this.#view.setUint32(start + 4, value / 0x100000000, true);
  }

  bytes(bytes: Uint8Array): void {
    const start = this.#extend(bytes.length);
    this.#bytes.set(bytes, start);
  }

  /** UTF-8 after its length. A lone surrogate becomes U+FFFD. */
  string(text: string): void {
    const bytes = utf8.encode(text);
    this.u64(bytes.length);
    this.bytes(bytes);
  }

  /** Zeros up to a multiple of `alignment`. */
  pad(alignment: number): void {
    this.#extend(Math.ceil(this.#length / alignment) * alignment - this.#length);
  }

  /** A view; writing more may leave it stale. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }
}
