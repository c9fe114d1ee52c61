/** Protocol Buffers' wire format, read only: a message as a list of numbered fields. */
import { InvalidRequestError } from "@thermocline/spec";

/**
 * @typedef {{ readonly number: number, readonly value: bigint | Uint8Array }} ProtobufField Varints and fixed-width numbers as unsigned
 *   integers; strings, bytes, messages and packed numbers as bytes, views of the message.
 */

/**
 * Reads varints one after the other.
 * @param {Uint8Array} bytes
 * @returns {Generator<bigint, void, undefined>} Unsigned, 64 bits.
 */
export function* varints(bytes) {
  for (let at = 0; at < bytes.length; ) {
    const { value, next } = readVarint(bytes, at);
    at = next;
    yield value;
  }
}

/**
 * @param {Uint8Array} message
 * @returns {Generator<ProtobufField, void, undefined>} In their order.
 * @throws InvalidRequestError where the bytes are no message.
 */
export function* protobufFields(message) {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  for (let at = 0; at < message.length; ) {
    const tag = readVarint(message, at);
    at = tag.next;
    const number = Number(tag.value >> 3n);
    const wireType = Number(tag.value & 7n);
    if (wireType === 0) {
      const { value, next } = readVarint(message, at);
      yield { number, value };
      at = next;
    } else if (wireType === 2) {
      const { value: length, next } = readVarint(message, at);
      const end = next + Number(length);
      if (end > message.length) throw broken(at, `a field of ${length} bytes goes beyond the end`);
      yield { number, value: message.subarray(next, end) };
      at = end;
    } else if (wireType === 1 || wireType === 5) {
      const byteLength = wireType === 1 ? 8 : 4;
      if (at + byteLength > message.length) throw broken(at, "a number goes beyond the end");
      yield { number, value: wireType === 1 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true)) };
      at += byteLength;
    } else throw broken(at, `wire type ${wireType} is not in use`);
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {number} start
 */
function readVarint(bytes, start) {
  let value = 0n;
  for (let index = 0; index < 10; index++) {
    const byte = bytes[start + index];
    if (byte === undefined) break;
    value |= BigInt(byte & 0x7f) << BigInt(7 * index);
    if (byte < 0x80) return { value: BigInt.asUintN(64, value), next: start + index + 1 };
  }
  throw broken(start, "a varint has no end");
}

/** @param {number} at @param {string} problem */
function broken(at, problem) {
  return new InvalidRequestError("protobuf", at, `at byte ${at} of a message ${problem}`, "fetch the file again");
}
