/** Metadata value types: names, the numbers that files store, and the JavaScript values they become. */

/** In the order of their numbers: u8 is 0, f64 is 12. */
export const valueTypes = ["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"] as const;
export type ValueTypeName = (typeof valueTypes)[number];

export type GgufScalarType = Exclude<ValueTypeName, "array">;
/** `array[]` is an array of arrays; each inner array has an element type of its own. */
export type GgufType = GgufScalarType | `${GgufScalarType}[]` | "array[]";

export type GgufNumberArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | BigUint64Array
  | BigInt64Array
  | Float64Array;

/** Typed arrays have the host's byte order; every platform that is built for is little endian, as the files are. */
export const numberArrays = {
  u8: Uint8Array,
  i8: Int8Array,
  u16: Uint16Array,
  i16: Int16Array,
  u32: Uint32Array,
  i32: Int32Array,
  f32: Float32Array,
  u64: BigUint64Array,
  i64: BigInt64Array,
  f64: Float64Array,
} as const;
export type GgufNumberType = keyof typeof numberArrays;

export function isNumberType(type: ValueTypeName): type is GgufNumberType {
  return type in numberArrays;
}

/** The fewest bytes that a value of the type takes: what bounds an array's length by the bytes that are left. */
export const minimumByteLength: Readonly<Record<ValueTypeName, number>> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  bool: 1,
  string: 8,
  array: 12,
  u64: 8,
  i64: 8,
  f64: 8,
};
