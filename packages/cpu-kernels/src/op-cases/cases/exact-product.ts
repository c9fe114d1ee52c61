/** Activations for products with weights, and the exact products with a bound of what f32 and 8-bit arithmetic may make of them. */
import { type DType, dtypes } from "@thermocline/spec";
import { gamma, unitRoundoff } from "../error-bounds.js";
import type { Random } from "../random.js";

/** normal: a backend that quantises activations to 8 bits errs visibly. integers: it does not. */
export type ActivationKind = "normal" | "integers";

const activationBlock = 32;

/**
 * [rows, columns]. "integers": whole numbers from -127 to 127 with a 127 in every block of 32. The block's scale absmax / 127 is 1, so that
 * rounding to 8 bits changes nothing, and f32 rounding alone remains: the sharper of the two tests. "normal": the first block is zeros.
 */
export function makeActivations(random: Random, rows: number, columns: number, kind: ActivationKind): Float32Array {
  const x = random.normals(rows * columns);
  if (kind === "normal") return x.fill(0, 0, Math.min(columns, activationBlock));
  return x.map((_, index) => ((index % columns) % activationBlock === 5 ? (index % 2 === 0 ? 127 : -127) : random.integer(-127, 127)));
}

export interface ActivationRow {
  readonly values: Float32Array;
  /** For each block of 32 how far quantisation moves one of its values at most. */
  readonly halfSteps: Float64Array;
}

/** `moves`: whether rounding to 8 bits changes the values and a backend with this weight type may do so. */
export function activationRow(values: Float32Array, dtype: DType, kind: ActivationKind): ActivationRow {
  const moves = kind === "normal" && dtypes[dtype].blockSize > 1;
  const halfSteps = Float64Array.from({ length: Math.ceil(values.length / activationBlock) }, (_, block) => {
    const blockValues = values.subarray(block * activationBlock, (block + 1) * activationBlock);
    const largest = blockValues.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    return moves ? (largest / 127) * (0.5 + 508 * unitRoundoff) : 0;
  });
  return { values, halfSteps };
}

export interface WeightRow {
  readonly values: Float64Array;
  /** Of `WeightData`. */
  readonly magnitudes: Float64Array;
}

/**
 * Σk x[k] · w[k] + bias, and how far a result may be from it:
 * - f32 rounding: γ(K + 4) · (Σ|x||w| + |bias|), for K products and sums in any order, two scales, a conversion and the bias; of a type with
 *   blocks γ(K + 12): w itself may have been rounded four times, and a kernel rounds its scales as often; |w| then counts both parts of a
 *   weight with a minimum;
 * - where the weight's type has blocks, 8-bit activations: each x of a block of 32 moves by half a step, absmax / 127 / 2, and by the f32
 *   rounding of x / step, at most 127 · 4u steps: Σ over blocks of step · (½ + 508u) · Σ|w|.
 */
export function exactProduct(x: ActivationRow, weight: WeightRow, dtype: DType, bias = 0): readonly [value: number, tolerance: number] {
  const innerSize = x.values.length;
  let sum = bias;
  let magnitude = Math.abs(bias);
  let moved = 0;
  for (let k = 0; k < innerSize; k++) {
    const w = weight.values[k]!;
    sum += x.values[k]! * w;
    magnitude += Math.abs(x.values[k]!) * weight.magnitudes[k]!;
    moved += x.halfSteps[k >> 5]! * Math.abs(w);
  }
  const numRoundings = innerSize + (dtypes[dtype].blockSize > 1 ? 12 : 4);
  return [sum, moved + gamma(numRoundings) * (magnitude + moved)];
}
