/** ONNX models, read only: the nodes of the graph and its constant tensors (onnx.proto3, fields by number). */
import { InvalidRequestError } from "@thermocline/spec";
import { protobufFields, varints } from "./protobuf.mjs";

/**
 * @typedef {{ readonly name: string, readonly shape: readonly number[], readonly values: Float32Array | Uint8Array | Int8Array | Int32Array |
 *   BigInt64Array }} OnnxTensor
 * @typedef {{ readonly type: string, readonly name: string, readonly inputs: readonly string[], readonly outputs: readonly string[],
 *   readonly attributes: ReadonlyMap<string, number | undefined> }} OnnxNode Attributes of other kinds than one number are undefined.
 */

const text = new TextDecoder();
/** @param {bigint | Uint8Array} value */
const bytesOf = (value) => /** @type {Uint8Array} */ (value);
/** @param {bigint | Uint8Array} value */
const stringOf = (value) => text.decode(bytesOf(value));

/** TensorProto.DataType, of the types that weights of a quantised model have. */
const elementTypes = /** @type {const} */ ({ 1: "f32", 2: "u8", 3: "i8", 6: "i32", 7: "i64" });

/**
 * @param {Uint8Array} bytes
 * @returns {{ readonly nodes: readonly OnnxNode[], readonly constants: ReadonlyMap<string, OnnxTensor> }}
 * @throws InvalidRequestError where it is no ONNX model.
 */
export function readOnnxModel(bytes) {
  /** @type {OnnxNode[]} */
  const nodes = [];
  /** @type {Map<string, OnnxTensor>} */
  const constants = new Map();
  for (const model of protobufFields(bytes)) {
    if (model.number !== 7) continue;
    for (const { number, value } of protobufFields(bytesOf(model.value))) {
      if (number === 1) nodes.push(readNode(bytesOf(value)));
      if (number === 5) {
        const tensor = readTensor(bytesOf(value));
        constants.set(tensor.name, tensor);
      }
    }
  }
  if (nodes.length === 0) throw new InvalidRequestError("onnx", bytes.length, "the file holds no graph", "give an ONNX model");
  return { nodes, constants };
}

/** @param {Uint8Array} message NodeProto @returns {OnnxNode} */
function readNode(message) {
  const inputs = [];
  const outputs = [];
  let name = "";
  let type = "";
  const attributes = new Map();
  for (const { number, value } of protobufFields(message)) {
    if (number === 1) inputs.push(stringOf(value));
    else if (number === 2) outputs.push(stringOf(value));
    else if (number === 3) name = stringOf(value);
    else if (number === 4) type = stringOf(value);
    else if (number === 5) attributes.set(...readAttribute(bytesOf(value)));
  }
  return { type, name, inputs, outputs, attributes };
}

/** @param {Uint8Array} message AttributeProto @returns {[string, number | undefined]} */
function readAttribute(message) {
  let name = "";
  let content;
  for (const { number, value } of protobufFields(message)) {
    if (number === 1) name = stringOf(value);
    else if (number === 2) content = new Float32Array(Uint32Array.of(Number(value)).buffer)[0];
    else if (number === 3) content = Number(BigInt.asIntN(64, /** @type {bigint} */ (value)));
  }
  return [name, content];
}

/** @param {Uint8Array} message TensorProto @returns {OnnxTensor} */
function readTensor(message) {
  /** @type {number[]} */
  const shape = [];
  let name = "";
  let dataType = 0;
  let raw;
  /** @type {bigint[]} */
  const integers = [];
  for (const { number, value } of protobufFields(message)) {
    if (number === 1) shape.push(...Array.from(typeof value === "bigint" ? [value] : varints(value), Number));
    else if (number === 2) dataType = Number(value);
    else if (number === 5 || number === 7) integers.push(...(typeof value === "bigint" ? [value] : varints(value)));
    else if (number === 8) name = stringOf(value);
    else if (number === 4 || number === 9) raw = bytesOf(value);
  }
  return { name, shape, values: elements(name, dataType, raw, integers) };
}

/**
 * @param {string} name
 * @param {number} dataType
 * @param {Uint8Array | undefined} raw
 * @param {readonly bigint[]} integers Where the numbers are not raw.
 */
function elements(name, dataType, raw, integers) {
  const type = elementTypes[/** @type {keyof typeof elementTypes} */ (dataType)];
  if (type === undefined)
    throw new InvalidRequestError("onnx", dataType, `tensor ${name} is of ONNX type ${dataType}`, "give a model quantised to 8 bits");
  if (raw === undefined) {
    if (type === "i64") return BigInt64Array.from(integers);
    // Negative numbers are written in 64 bits of two's complement.
    const signed = () => integers.map((integer) => Number(BigInt.asIntN(64, integer)));
    if (type === "i32" || type === "i8") return type === "i8" ? Int8Array.from(signed()) : Int32Array.from(signed());
    return type === "u8" ? Uint8Array.from(integers, Number) : Float32Array.from(integers, Number);
  }
  // A copy: the view in the file is aligned to nothing.
  const bytes = new Uint8Array(raw).buffer;
  if (type === "f32") return new Float32Array(bytes);
  if (type === "u8") return new Uint8Array(bytes);
  if (type === "i8") return new Int8Array(bytes);
  return type === "i32" ? new Int32Array(bytes) : new BigInt64Array(bytes);
}
