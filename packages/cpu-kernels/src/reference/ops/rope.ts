import { floatsOf, integersOf, type TensorView, valuesOf } from "../tensor-view.js";
import type { Kernel } from "./kernel.js";

/**
 * Rotates pair i of every head by p · theta^(-2i / dims) / frequencyFactors[i]. Pairs are (2i, 2i + 1) for "normal", (i, i + dims / 2)
 * for "neox". Sine and cosine are multiplied by `magnitude`. All in double precision: an angle in f32 would be off by 0.03 at position 10^6.
 */
export const rope: Kernel<"rope"> = ({ q, k, positions, frequencyFactors, theta, magnitude, dims, mode }) => {
  const numPairs = dims / 2;
  const factors = frequencyFactors && valuesOf(frequencyFactors);
  const frequencies = Float64Array.from({ length: numPairs }, (_, i) => theta ** ((-2 * i) / dims) / (factors?.[i] ?? 1));
  const tokenPositions = integersOf(positions);
  const cosines = new Float64Array(numPairs);
  const sines = new Float64Array(numPairs);
  for (let t = 0; t < q.shape[0]!; t++) {
    const position = tokenPositions[t * positions.rowStride]!;
    for (let i = 0; i < numPairs; i++) {
      cosines[i] = magnitude * Math.cos(position * frequencies[i]!);
      sines[i] = magnitude * Math.sin(position * frequencies[i]!);
    }
    for (const heads of [q, k]) rotateToken(heads, t, cosines, sines, mode === "normal");
  }
};

function rotateToken(heads: TensorView, t: number, cosines: Float64Array, sines: Float64Array, adjacent: boolean): void {
  const [, numHeads, headDim] = heads.shape as [number, number, number];
  const values = floatsOf(heads);
  const numPairs = cosines.length;
  for (let head = 0; head < numHeads; head++) {
    const base = t * heads.rowStride + head * headDim;
    for (let i = 0; i < numPairs; i++) {
      const first = base + (adjacent ? 2 * i : i);
      const second = first + (adjacent ? 1 : numPairs);
      const a = values[first]!;
      const b = values[second]!;
      values[first] = a * cosines[i]! - b * sines[i]!;
      values[second] = a * sines[i]! + b * cosines[i]!;
    }
  }
}
