/** Buffers of the plain backend, and tensors over them as rows. */
import {
  byteLengthOf,
  type DeviceBuffer,
  type DeviceId,
  type Dim,
  type MemoryReservation,
  type StepBindings,
  type Tensor,
} from "@thermocline/spec";

export class PlainBuffer implements DeviceBuffer {
  constructor(
    readonly device: DeviceId,
    readonly reservation: MemoryReservation,
    public memory: Uint8Array,
  ) {}

  get byteLength(): number {
    return this.memory.byteLength;
  }

  [Symbol.dispose](): void {
    this.memory = new Uint8Array(0);
    this.reservation[Symbol.dispose]();
  }
}

/** The bytes of each row of a tensor, in place. A vector is one row. @throws RangeError where a row leaves the buffer. */
export function rowsOf(tensor: Tensor, bindings?: StepBindings): Uint8Array[] {
  const sizeOf = (dim: Dim) => (typeof dim === "number" ? dim : bindings![dim]);
  const { memory } = tensor.buffer as PlainBuffer;
  const shape = tensor.shape.map(sizeOf);
  const [numRows, ...rest] = shape.length > 1 ? shape : [1, ...shape];
  const columns = rest.reduce((product, dim) => product * dim, 1);
  const rowBytes = byteLengthOf(tensor.dtype, columns);
  const strideBytes = byteLengthOf(tensor.dtype, tensor.rowStride ?? columns);
  return Array.from({ length: numRows! }, (_, row) => {
    const begin = tensor.byteOffset + row * strideBytes;
    if (begin + rowBytes > memory.byteLength) throw new RangeError(`row ${row} ends past the ${memory.byteLength} bytes of its buffer`);
    return memory.subarray(begin, begin + rowBytes);
  });
}

export function floatsOf(row: Uint8Array): Float32Array {
  return new Float32Array(row.buffer, row.byteOffset, row.byteLength / 4);
}
