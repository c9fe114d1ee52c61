/** A row of activations times a matrix of weights: what `matmul` and `expertMatmul` have in common. */

/** Multiply-adds between two chances for the event loop: well under a millisecond. */
const macsPerPiece = 1 << 18;

export interface WeightMatrix {
  readonly values: Float32Array;
  /** Index of element [0, 0]. */
  readonly first: number;
  /** Elements from one row to the next. */
  readonly rowStride: number;
  /** One a row; absent: none. */
  readonly biases?: Float64Array | undefined;
}

/**
 * out[n] = Σk row[k] · matrix[n, k] (+ biases[n]), k ascending in double precision, rounded to f32 once. Four outputs side by side keep the
 * adder busy; each still has its own sum.
 */
export function* multiplyRow(out: Float32Array, row: Float32Array, matrix: WeightMatrix): Generator<void, void, void> {
  const { values, first, rowStride, biases } = matrix;
  const innerSize = row.length;
  const wide = Float64Array.from(row);
  let macs = 0;
  let n = 0;
  for (; n + 4 <= out.length; n += 4) {
    const at0 = first + n * rowStride;
    const at1 = at0 + rowStride;
    const at2 = at1 + rowStride;
    const at3 = at2 + rowStride;
    let sum0 = 0;
    let sum1 = 0;
    let sum2 = 0;
    let sum3 = 0;
    for (let k = 0; k < innerSize; k++) {
      const value = wide[k]!;
      sum0 += value * values[at0 + k]!;
      sum1 += value * values[at1 + k]!;
      sum2 += value * values[at2 + k]!;
      sum3 += value * values[at3 + k]!;
    }
    out[n] = sum0 + (biases?.[n] ?? 0);
    out[n + 1] = sum1 + (biases?.[n + 1] ?? 0);
    out[n + 2] = sum2 + (biases?.[n + 2] ?? 0);
    out[n + 3] = sum3 + (biases?.[n + 3] ?? 0);
    macs += 4 * innerSize;
    if (macs >= macsPerPiece) {
      macs = 0;
      yield;
    }
  }
  for (; n < out.length; n++) {
    let sum = 0;
    for (let k = 0; k < innerSize; k++) sum += wide[k]! * values[first + n * rowStride + k]!;
    out[n] = sum + (biases?.[n] ?? 0);
  }
}
