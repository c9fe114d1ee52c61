/** The `<architecture>.*` keys of a file, read with their types; keys that nothing reads are refused. */
import { InvalidTensorError, type ModelSource, UnsupportedModelError } from "@thermocline/spec";

/** Typed access to `<architecture>.*` keys that remembers which were read. */
export class ArchitectureMetadata {
  readonly #read = new Set<string>();

  constructor(
    readonly source: ModelSource,
    readonly architecture: string,
  ) {}

  number(key: string): number;
  number(key: string, fallback: number): number;
  number(key: string, fallback?: number): number {
    const value = this.#value(key);
    if (value === undefined && fallback !== undefined) return fallback;
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw this.#invalid(key, "a number", value);
  }

  /** A count. */
  positive(key: string, fallback?: number): number {
    return this.checkPositive(key, fallback === undefined ? this.number(key) : this.number(key, fallback));
  }

  /** The value, which came from `key`, where it is a count. */
  checkPositive(key: string, value: number): number {
    if (Number.isSafeInteger(value) && value > 0) return value;
    throw this.#invalid(key, "a positive whole number", value);
  }

  /** A key that holds one number for all layers, or an array with one for each. */
  perLayer(key: string, numLayers: number, fallback?: number): readonly number[] {
    const value = this.#value(key) ?? fallback;
    if (typeof value === "number") return new Array<number>(numLayers).fill(value);
    if (ArrayBuffer.isView(value) && (value as Float64Array).length === numLayers) {
      // 64-bit ones come as bigint; what is no safe integer then fails the caller's check.
      return Array.from(value as Float64Array | BigInt64Array, Number);
    }
    throw this.#invalid(key, `a number, or ${numLayers} of them`, value);
  }

  /** An array with a bool for each layer; undefined where the key is absent or holds something else than an array. */
  flags(key: string, numLayers: number): readonly boolean[] | undefined {
    const value = this.#value(key);
    if (!Array.isArray(value)) return undefined;
    if (value.length === numLayers && value.every((flag) => typeof flag === "boolean")) return value;
    throw this.#invalid(key, `${numLayers} bools`, `${value.length} values`);
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.#value(key) ?? fallback;
    if (typeof value === "boolean") return value;
    throw this.#invalid(key, "a bool", value);
  }

  string(key: string, fallback: string): string {
    const value = this.#value(key) ?? fallback;
    if (typeof value === "string") return value;
    throw this.#invalid(key, "a string", value);
  }

  /** Marks keys that change nothing about the computation. */
  ignore(...keys: readonly string[]): void {
    for (const key of keys) this.#read.add(`${this.architecture}.${key}`);
  }

  /** @throws UnsupportedModelError where the file sets a key that nothing has read: it may change the computation. */
  refuseUnread(): void {
    for (const key of this.source.metadata.keys()) {
      if (key.startsWith(`${this.architecture}.`) && !this.#read.has(key)) {
        throw this.unsupported(key.slice(this.architecture.length + 1), "sets a key that this graph does not know");
      }
    }
  }

  unsupported(key: string, problem: string): UnsupportedModelError {
    return new UnsupportedModelError(this.architecture, `${this.architecture}.${key}`, problem);
  }

  #value(key: string): unknown {
    const full = `${this.architecture}.${key}`;
    this.#read.add(full);
    return this.source.metadata.get(full);
  }

  #invalid(key: string, expected: string, value: unknown): InvalidTensorError {
    const actual = value === undefined ? "none" : ArrayBuffer.isView(value) ? `${(value as Float64Array).length} values` : String(value);
    return new InvalidTensorError(`metadata ${this.architecture}.${key}`, expected, actual);
  }
}
