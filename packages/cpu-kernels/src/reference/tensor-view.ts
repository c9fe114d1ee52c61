/** A tensor whose bindings and memory are known for one step. */
import {
  AssertionError,
  assert,
  bindingNames,
  byteLengthOf,
  type Dim,
  type DType,
  dtypes,
  numElementsOf,
  type StepBindings,
  type Tensor,
} from "@thermocline/spec";
import { ReferenceBuffer } from "./buffer.js";
import { dequantizeRows } from "./dequantize/index.js";
import { float16Values } from "./float16.js";

/** What a kernel or the resolution of its operands finds wrong with values; becomes the detail of a DeviceFaultError. */
export class KernelFault extends Error {}

export interface TensorView {
  /** Of the stored elements: f32 for a packed weight. */
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Elements from one index of axis 0 to the next. */
  readonly rowStride: number;
  /** Exactly the bytes from the first element to the last, gaps of strided rows included. */
  readonly bytes: Uint8Array;
}

function resolveDim(dim: Dim, bindings: StepBindings): number {
  const value = typeof dim === "number" ? dim : bindings[dim];
  if (!Number.isSafeInteger(value) || value < 0) throw new KernelFault(`dimension ${dim} is ${value}`);
  return value;
}

/** @throws KernelFault where the extent leaves the buffer. */
export function resolveTensor(field: string, tensor: Tensor, bindings: StepBindings): TensorView {
  assert(tensor.buffer instanceof ReferenceBuffer, `${field} lies in a buffer of another backend`);
  const shape = tensor.shape.length === 0 ? [1] : tensor.shape.map((dim) => resolveDim(dim, bindings));
  const dtype = tensor.layout === "packed" ? "f32" : tensor.dtype;
  const rowLength = numElementsOf(shape.slice(1));
  const rowStride = tensor.rowStride ?? rowLength;
  const numElements = numElementsOf(shape) === 0 ? 0 : (shape[0]! - 1) * rowStride + rowLength;
  if (rowStride < rowLength && shape[0]! > 1) throw new KernelFault(`${field} has rows of ${rowLength} elements every ${rowStride}`);
  if (numElements % dtypes[dtype].blockSize !== 0)
    throw new KernelFault(`${field} holds ${numElements} elements, no whole blocks of ${dtype}`);
  const byteLength = byteLengthOf(dtype, numElements);
  const { memory } = tensor.buffer;
  if (tensor.byteOffset < 0 || tensor.byteOffset + byteLength > memory.byteLength)
    throw new KernelFault(`${field} [${shape}] takes ${byteLength} bytes from ${tensor.byteOffset}, its buffer has ${memory.byteLength}`);
  return { dtype, shape, rowStride, bytes: memory.subarray(tensor.byteOffset, tensor.byteOffset + byteLength) };
}

function wordsAt(view: TensorView): readonly [ArrayBufferLike, number, number] {
  const { buffer, byteOffset, byteLength } = view.bytes;
  if (byteLength > 0 && byteOffset % 4 !== 0)
    throw new KernelFault(`a tensor of ${view.dtype} starts at byte ${byteOffset}, which is not 4-byte aligned`);
  return byteLength === 0 ? [buffer, 0, 0] : [buffer, byteOffset, byteLength / 4];
}

export function floatsOf(view: TensorView): Float32Array {
  return new Float32Array(...wordsAt(view));
}

export function integersOf(view: TensorView): Int32Array {
  return new Int32Array(...wordsAt(view));
}

export function halfWordsOf(view: TensorView): Uint16Array {
  const { buffer, byteOffset, byteLength } = view.bytes;
  return byteLength === 0 ? new Uint16Array(0) : new Uint16Array(buffer, byteOffset, byteLength / 2);
}

/** A weight or cache as f32: packed ones and f32 lie there so, others are turned into a copy. */
export function valuesOf(view: TensorView): Float32Array {
  if (view.dtype === "f32") return floatsOf(view);
  if (view.dtype === "f16") return Float32Array.from(halfWordsOf(view), (bits) => float16Values[bits]!);
  const blocks = view.bytes.length / dtypes[view.dtype].blockBytes;
  const values = new Float32Array(blocks * dtypes[view.dtype].blockSize);
  dequantizeRows(view.dtype, view.bytes, values);
  return values;
}

const noBindings = Object.fromEntries(bindingNames.map((name) => [name, Number.NaN])) as StepBindings;

/**
 * For `write`, `read` and `load`: dimensions are numbers, rows lie one after the other, all inside the buffer.
 * @throws AssertionError otherwise.
 */
export function resolveContiguous(field: string, tensor: Tensor): TensorView {
  let view: TensorView;
  try {
    view = resolveTensor(field, tensor, noBindings);
  } catch (error) {
    if (error instanceof KernelFault) throw new AssertionError(error.message);
    throw error;
  }
  assert(view.rowStride === numElementsOf(view.shape.slice(1)), `${field} has strided rows; a contiguous tensor is needed`);
  return view;
}
