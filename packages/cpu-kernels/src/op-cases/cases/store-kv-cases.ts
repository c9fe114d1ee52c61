import { batchSizes, maxBatchSize } from "../batch-invariance.js";
import { expectSameBits } from "../comparison.js";
import type { OpCase, OpPlan, OpStep } from "../op-case.js";
import { Random } from "../random.js";
import { type CacheShape, cacheIndex, encodeCache, type KvDType, kvDTypes } from "./kv-cache-data.js";

interface StoreShape extends CacheShape {
  readonly headDimK: number;
  readonly headDimV: number;
}

/** Normals, and where f16 rounding is delicate: ties, subnormals, the largest value and beyond, zeros of both signs. */
function delicateValues(random: Random, count: number): Float32Array {
  const special = [
    2049,
    2051,
    -2049,
    65519.996,
    65520,
    -70000,
    2 ** -24,
    2 ** -25,
    3 * 2 ** -25,
    -(2 ** -26),
    6.1e-5,
    6.097e-5,
    0,
    -0,
    1e-30,
  ];
  return Float32Array.from({ length: count }, () =>
    random.uniform() < 0.2 ? special[random.integer(0, special.length - 1)]! : random.normal(),
  );
}

/** Exact: every slot that is named holds the rounded values, every other one what it held. */
function storePlan(dtype: KvDType, shape: StoreShape): OpPlan {
  const { numBlocks, numKvHeads, blockSize, headDimK, headDimV } = shape;
  const random = new Random(headDimK * 100 + headDimV);
  const numSlots = numBlocks * blockSize;
  const vOffset = Math.ceil((numKvHeads * headDimK) / 64) * 64;
  const stride = vOffset + numKvHeads * headDimV + 3;
  const fused = delicateValues(random, maxBatchSize * stride);
  // Distinct slots, the first and the last one among them.
  const between = random.permutation(numSlots - 2).map((slot) => slot + 1);
  const slotMapping = Int32Array.from([numSlots - 1, 0, ...between].slice(0, maxBatchSize));
  const emptyOf = (headDim: number) => new Float64Array(numSlots * numKvHeads * headDim).fill(Number.NaN);
  const expectedCache = (headDim: number, offset: number, size: number) => {
    const values = emptyOf(headDim);
    for (let t = 0; t < size; t++)
      for (let head = 0; head < numKvHeads; head++) {
        const first = t * stride + offset + head * headDim;
        values.set(fused.subarray(first, first + headDim), cacheIndex(shape, headDim, slotMapping[t]!, head));
      }
    return encodeCache(dtype, values);
  };
  const steps = batchSizes.map((size): OpStep => {
    const keys = expectedCache(headDimK, 0, size);
    const values = expectedCache(headDimV, vOffset, size);
    return {
      bindings: { numTokens: size },
      check(outputs) {
        expectSameBits("keyCache", outputs.keyCache!, keys);
        expectSameBits("valueCache", outputs.valueCache!, values);
      },
    };
  });
  const fault = (slot: number): OpStep => ({
    bindings: { numTokens: 1 },
    write: { slotMapping: Int32Array.of(slot) },
    faultDetail: `${slot}`,
  });
  return {
    arrays: { fused, slotMapping, keyCache: encodeCache(dtype, emptyOf(headDimK)), valueCache: encodeCache(dtype, emptyOf(headDimV)) },
    outputs: ["keyCache", "valueCache"],
    views: {
      k: { array: "fused", shape: ["numTokens", numKvHeads, headDimK], rowStride: stride },
      v: { array: "fused", shape: ["numTokens", numKvHeads, headDimV], rowStride: stride, offset: vOffset },
      keyCache: { array: "keyCache", shape: [numBlocks, numKvHeads, blockSize, headDimK] },
      valueCache: { array: "valueCache", shape: [numBlocks, numKvHeads, blockSize, headDimV] },
      slotMapping: { array: "slotMapping", shape: ["numTokens"] },
    },
    record: (encoder, { k, v, keyCache, valueCache, slotMapping: slots }) => encoder.storeKv(k!, v!, keyCache!, valueCache!, slots!),
    steps: [...steps, fault(numSlots), fault(-1), steps[4]!],
  };
}

const shapes: readonly StoreShape[] = [
  { numBlocks: 40, numKvHeads: 1, blockSize: 1, headDimK: 1, headDimV: 1 },
  { numBlocks: 5, numKvHeads: 2, blockSize: 16, headDimK: 64, headDimV: 64 },
  { numBlocks: 7, numKvHeads: 3, blockSize: 5, headDimK: 24, headDimV: 40 },
];

export const storeKvCases: readonly OpCase[] = kvDTypes.flatMap((dtype) =>
  shapes.map((shape): OpCase => {
    const { numKvHeads, blockSize, headDimK, headDimV } = shape;
    const name = `storeKv ${dtype}, ${numKvHeads} heads of ${headDimK} and ${headDimV}, blocks of ${blockSize}`;
    return { name, op: "storeKv", dtype, plan: () => storePlan(dtype, shape) };
  }),
);
