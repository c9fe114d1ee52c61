/** Storage types, spelled as ggml spells them, with ggml's numbers: a GGUF file names a type by its number. */

export interface DTypeInfo {
  /** The number a GGUF file stores. */
  readonly ggmlType: number;
  /** Elements per block: a row is a whole number of blocks. */
  readonly blockSize: number;
  /** Bytes of one block. */
  readonly blockBytes: number;
}

const entry = (ggmlType: number, blockSize: number, blockBytes: number): DTypeInfo => ({ ggmlType, blockSize, blockBytes });

/** Every type of ggml today. Numbers 4, 5, 31–33 and 36–38 belonged to types that ggml has withdrawn. */
export const dtypes = {
  f32: entry(0, 1, 4),
  f16: entry(1, 1, 2),
  q4_0: entry(2, 32, 18),
  q4_1: entry(3, 32, 20),
  q5_0: entry(6, 32, 22),
  q5_1: entry(7, 32, 24),
  q8_0: entry(8, 32, 34),
  q8_1: entry(9, 32, 36),
  q2_k: entry(10, 256, 84),
  q3_k: entry(11, 256, 110),
  q4_k: entry(12, 256, 144),
  q5_k: entry(13, 256, 176),
  q6_k: entry(14, 256, 210),
  q8_k: entry(15, 256, 292),
  iq2_xxs: entry(16, 256, 66),
  iq2_xs: entry(17, 256, 74),
  iq3_xxs: entry(18, 256, 98),
  iq1_s: entry(19, 256, 50),
  iq4_nl: entry(20, 32, 18),
  iq3_s: entry(21, 256, 110),
  iq2_s: entry(22, 256, 82),
  iq4_xs: entry(23, 256, 136),
  i8: entry(24, 1, 1),
  i16: entry(25, 1, 2),
  i32: entry(26, 1, 4),
  i64: entry(27, 1, 8),
  f64: entry(28, 1, 8),
  iq1_m: entry(29, 256, 56),
  bf16: entry(30, 1, 2),
  tq1_0: entry(34, 256, 54),
  tq2_0: entry(35, 256, 66),
  mxfp4: entry(39, 32, 17),
  nvfp4: entry(40, 64, 36),
} as const satisfies Record<string, DTypeInfo>;

export type DType = keyof typeof dtypes;

/** Types whose elements are stored as they are; products with them round no activations. */
export const floatDTypes: readonly DType[] = ["f32", "f16", "bf16"];
const numberDTypes: readonly DType[] = ["f64", "i8", "i16", "i32", "i64"];

/** Whether matrices of a model are stored as the type: integers and f64 hold other things. */
export function isWeightDType(dtype: DType): boolean {
  return !numberDTypes.includes(dtype);
}

const byGgmlType = new Map<number, DType>(Object.entries(dtypes).map(([name, info]) => [info.ggmlType, name as DType]));

/** The dtype of a ggml type number, or undefined for a number that names none today. */
export function dtypeOfGgmlType(ggmlType: number): DType | undefined {
  return byGgmlType.get(ggmlType);
}

/** Bytes of `numElements` consecutive elements in storage order. @throws RangeError where they are no whole number of blocks. */
export function byteLengthOf(dtype: DType, numElements: number): number {
  const { blockSize, blockBytes } = dtypes[dtype];
  if (numElements % blockSize !== 0) throw new RangeError(`${numElements} elements are no whole number of ${dtype} blocks of ${blockSize}`);
  return (numElements / blockSize) * blockBytes;
}
