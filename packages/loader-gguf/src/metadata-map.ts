/** The values of a header by key. To whoever reads it a Map like any other. */
import { StringArray } from "./string-array.js";

const resolve = (value: unknown): unknown => (value instanceof StringArray ? value.strings : value);

/** Arrays of strings come out of it decoded; before, they are only marked in the header's bytes. */
export class MetadataMap extends Map<string, unknown> {
  override get(key: string): unknown {
    return resolve(super.get(key));
  }

  /** The array under a key, decoded or not; undefined where there is none, or a value of another type. */
  stringArray(key: string): StringArray | undefined {
    const value = super.get(key);
    return value instanceof StringArray ? value : undefined;
  }

  override *values(): MapIterator<unknown> {
    for (const value of super.values()) yield resolve(value);
  }

  override *entries(): MapIterator<[string, unknown]> {
    for (const [key, value] of super.entries()) yield [key, resolve(value)];
  }

  override [Symbol.iterator](): MapIterator<[string, unknown]> {
    return this.entries();
  }

  override forEach(visit: (value: unknown, key: string, map: Map<string, unknown>) => void, thisArgument?: unknown): void {
    for (const [key, value] of this.entries()) visit.call(thisArgument, value, key, this);
  }
}
