/** Safetensors files, read only: eight bytes of length, a JSON table, the tensors' bytes. */
import { InvalidRequestError } from "@thermocline/spec";

/** @typedef {{ readonly dtype: string, readonly shape: readonly number[], readonly bytes: Uint8Array }} SafeTensor `dtype` in lower case. */

/**
 * @param {Uint8Array} file
 * @returns {Map<string, SafeTensor>} By name; bytes are views of the file.
 * @throws InvalidRequestError where it is no such file.
 */
export function readSafetensors(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const tableByteLength = file.byteLength < 8 ? 0 : Number(view.getBigUint64(0, true));
  const start = 8 + tableByteLength;
  if (tableByteLength === 0 || start > file.byteLength)
    throw new InvalidRequestError("safetensors", file.byteLength, "the file holds no table of tensors", "fetch it again");
  const table = JSON.parse(new TextDecoder().decode(file.subarray(8, start)));
  /** @type {Map<string, SafeTensor>} */
  const tensors = new Map();
  for (const [name, entry] of Object.entries(table)) {
    if (name === "__metadata__") continue;
    const {
      dtype,
      shape,
      data_offsets: offsets,
    } = /** @type {{ dtype: string, shape: number[], data_offsets: [number, number] }} */ (entry);
    if (start + offsets[1] > file.byteLength)
      throw new InvalidRequestError("safetensors", name, `${name} goes beyond the end of the file`, "fetch it again");
    tensors.set(name, { dtype: dtype.toLowerCase(), shape, bytes: file.subarray(start + offsets[0], start + offsets[1]) });
  }
  return tensors;
}
