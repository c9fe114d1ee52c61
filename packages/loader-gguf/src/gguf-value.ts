/** Metadata values that a writer takes, and how they become bytes. */
import { InvalidRequestError } from "@thermocline/spec";
import type { ByteWriter } from "./byte-writer.js";
import { limits } from "./limits.js";
import { type GgufNumberArray, type GgufNumberType, type GgufType, numberArrays, type ValueTypeName, valueTypes } from "./value-type.js";

/** Values whose type shows. A bare number does not: `rope.freq_base: 10000` is an f32, and readers refuse it as an integer. */
export type GgufPlainValue = string | boolean | GgufPlainArray;
/** An empty JavaScript array counts as an array of strings. */
export type GgufPlainArray = GgufNumberArray | readonly string[] | readonly boolean[] | readonly GgufPlainArray[];

/** `{ type: "u32", value: 7 }`, `{ type: "i64[]", value: [1n, 2n] }`. */
export interface GgufTypedValue {
  readonly type: GgufType;
  readonly value: number | bigint | ArrayLike<number | bigint> | GgufPlainValue;
}

export type GgufValue = GgufPlainValue | GgufTypedValue;

/** The metadata of an open file with its stored types, to be written again: `new Map([...typedMetadata(source), ["general.name", "mine"]])`. */
export function typedMetadata(source: {
  readonly metadata: ReadonlyMap<string, unknown>;
  readonly metadataTypes: ReadonlyMap<string, GgufType>;
}): [key: string, value: GgufTypedValue][] {
  return [...source.metadataTypes].map(([key, type]) => [key, { type, value: source.metadata.get(key) as GgufTypedValue["value"] }]);
}

/** Type number and value. `key` names the value in errors. @throws InvalidRequestError */
export function encodeValue(writer: ByteWriter, key: string, value: GgufValue): void {
  const typed = isTyped(value) ? value : { type: plainTypeOf(key, value), value };
  const name = typed.type.endsWith("[]") ? "array" : (typed.type as ValueTypeName);
  writer.u32(typeNumber(key, name));
  if (name === "array") encodeArray(writer, key, typed.type, typed.value, 1);
  else encodeElement(writer, key, name, typed.value, 0);
}

function refuse(key: string, value: unknown, problem: string): never {
  const shown = typeof value === "object" || typeof value === "function" ? typeof value : String(value).slice(0, 80);
  throw new InvalidRequestError(`metadata[${key}]`, shown, problem, 'give a string, a bool, a typed array, or { type: "u32", value: … }');
}

function isTyped(value: GgufValue): value is GgufTypedValue {
  return typeof value === "object" && value !== null && "type" in value && "value" in value;
}

function typeNumber(key: string, name: ValueTypeName): number {
  const number = valueTypes.indexOf(name);
  return number >= 0 ? number : refuse(key, name, `"${name}" is no GGUF type`);
}

const typeOfArrayClass = new Map<unknown, GgufNumberType>(
  Object.entries(numberArrays).map(([name, arrayClass]) => [arrayClass, name as GgufNumberType]),
);

function plainTypeOf(key: string, value: unknown): GgufType {
  if (typeof value === "string") return "string";
  if (typeof value === "boolean") return "bool";
  if (ArrayBuffer.isView(value)) {
    const type = numberTypeOf(value);
    return type === undefined ? refuse(key, value, `${value.constructor.name} is no GGUF array`) : `${type}[]`;
  }
  if (!Array.isArray(value)) return refuse(key, value, `a ${typeof value} does not show its GGUF type`);
  if (value.every((element) => typeof element === "string")) return "string[]";
  if (value.every((element) => typeof element === "boolean")) return "bool[]";
  if (value.every((element) => Array.isArray(element) || ArrayBuffer.isView(element))) return "array[]";
  return refuse(key, value, "the array's elements do not show one GGUF type");
}

/** A Buffer is a Uint8Array. */
function numberTypeOf(value: object): GgufNumberType | undefined {
  return value instanceof Uint8Array ? "u8" : typeOfArrayClass.get(value.constructor);
}

function encodeArray(writer: ByteWriter, key: string, type: GgufType, value: unknown, depth: number): void {
  if (depth > limits.arrayDepth) refuse(key, value, `arrays nest deeper than ${limits.arrayDepth}`);
  const elementType = type.slice(0, -2) as ValueTypeName;
  writer.u32(typeNumber(key, elementType));
  if (!Array.isArray(value) && !ArrayBuffer.isView(value)) refuse(key, value, `is no array, as ${type} must be`);
  const elements = value as ArrayLike<unknown>;
  if (elements.length > limits.arrayLength)
    refuse(key, elements.length, `has ${elements.length} elements, the most is ${limits.arrayLength}`);
  writer.u64(elements.length);
  if (ArrayBuffer.isView(value) && numberTypeOf(value) === elementType) {
    writer.bytes(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    return;
  }
  for (let index = 0; index < elements.length; index++) encodeElement(writer, key, elementType, elements[index], depth);
}

function encodeElement(writer: ByteWriter, key: string, type: ValueTypeName, value: unknown, depth: number): void {
  const expect = (isRight: boolean) => isRight || refuse(key, value, `a ${typeof value} is no ${type}`);
  if (type === "array") {
    encodeArray(writer, key, plainTypeOf(key, value), value, depth + 1);
  } else if (type === "string") {
    expect(typeof value === "string");
    writer.string(value as string);
  } else if (type === "bool") {
    expect(typeof value === "boolean");
    writer.u8(Number(value));
  } else if (type === "f32" || type === "f64") {
    expect(typeof value === "number");
    writer[type](value as number);
  } else {
    encodeInteger(writer, key, type, value);
  }
}

function encodeInteger(writer: ByteWriter, key: string, type: Exclude<GgufNumberType, "f32" | "f64">, value: unknown): void {
  if (typeof value !== "bigint" && !Number.isSafeInteger(value)) refuse(key, value, `${String(value)} is no exact integer`);
  const bits = Number(type.slice(1));
  const integer = BigInt(value as number | bigint);
  const fitting = type.startsWith("u") ? BigInt.asUintN(bits, integer) : BigInt.asIntN(bits, integer);
  if (fitting !== integer) refuse(key, value, `${integer} does not fit into ${type}`);
  if (bits === 8) writer.u8(Number(integer));
  else if (bits === 16) writer.u16(Number(integer));
  else if (bits === 32) writer.u32(Number(integer));
  else writer.u64(integer);
}
