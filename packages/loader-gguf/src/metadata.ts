/** Metadata values as they lie in a file: a type number, then the value; an array has an element type, a length and its elements. */
import type { HeaderCursor } from "./header-cursor.js";
import { limits } from "./limits.js";
import { readStringArray, StringArray } from "./string-array.js";
import { type GgufType, isNumberType, minimumByteLength, numberArrays, type ValueTypeName, valueTypes } from "./value-type.js";

export interface MetadataEntry {
  readonly key: string;
  readonly type: GgufType;
  readonly value: unknown;
  /** Where the value begins, from the start of the file. */
  readonly byteOffset: number;
}

/** The entry at the cursor. `index` names it in errors until its key is known. */
export function readMetadataEntry(cursor: HeaderCursor, index: number, isKnown: (key: string) => boolean): MetadataEntry {
  cursor.enter("metadata", index);
  const keyOffset = cursor.offset;
  const key = cursor.name("key", limits.keyBytes);
  if (isKnown(key)) cursor.fail("key", key, `repeats "${key}"`, keyOffset);
  cursor.enter("metadata", key);
  const typeName = readValueType(cursor, "type");
  const byteOffset = cursor.offset;
  if (typeName !== "array") return { key, type: typeName, value: readScalar(cursor, typeName), byteOffset };
  const array = readArray(cursor, 1);
  return { key, type: `${array.elementType}[]`, value: array.value, byteOffset };
}

function readValueType(cursor: HeaderCursor, field: string): ValueTypeName {
  const number = cursor.u32(field);
  return valueTypes[number] ?? cursor.fail(field, number, `is ${number}, value types are 0 to ${valueTypes.length - 1}`, cursor.offset - 4);
}

function readScalar(cursor: HeaderCursor, type: Exclude<ValueTypeName, "array">): unknown {
  if (type === "string") return cursor.text("value");
  if (type === "bool") return readBool(cursor);
  return cursor[type]("value");
}

function readBool(cursor: HeaderCursor): boolean {
  const byte = cursor.u8("value");
  if (byte > 1) cursor.fail("value", byte, `is ${byte}, a bool is 0 or 1`, cursor.offset - 1);
  return byte === 1;
}

function readArray(cursor: HeaderCursor, depth: number): { readonly elementType: ValueTypeName; readonly value: unknown } {
  if (depth > limits.arrayDepth) cursor.fail("type", depth, `nests arrays deeper than ${limits.arrayDepth}`, cursor.offset);
  const elementType = readValueType(cursor, "elementType");
  const length = cursor.count("length", limits.arrayLength);
  if (length * minimumByteLength[elementType] > cursor.bytesLeft)
    cursor.fail(
      "length",
      length,
      `says ${length} elements of type ${elementType}, the file has ${cursor.bytesLeft} more bytes`,
      cursor.offset - 8,
    );
  return { elementType, value: readElements(cursor, elementType, length, depth) };
}

function readElements(cursor: HeaderCursor, type: ValueTypeName, length: number, depth: number): unknown {
  if (isNumberType(type)) {
    const byteLength = length * minimumByteLength[type];
    const start = cursor.take(byteLength, "value");
    return new numberArrays[type](cursor.bytes.slice(start, start + byteLength).buffer);
  }
  if (type === "string") return readStringArray(cursor, length);
  const elements: unknown[] = [];
  for (let index = 0; index < length; index++)
    elements.push(type === "bool" ? readBool(cursor) : decoded(readArray(cursor, depth + 1).value));
  return elements;
}

/** Arrays within arrays are small. */
const decoded = (value: unknown) => (value instanceof StringArray ? value.strings : value);
