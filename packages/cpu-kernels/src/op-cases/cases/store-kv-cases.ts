import { byteLengthOf } from "@thermocline/spec";
import { batchSizes, maxBatchSize } from "../batch-invariance.js";
import { expectSameBits } from "../comparison.js";
import type { OpCase, OpPlan, OpStep } from "../op-case.js";
import { Random } from "../random.js";
import { type CacheShape, cacheView, emptyCache, type KvDType, storeVector } from "./kv-cache-data.js";

interface StoreShape extends CacheShape {
  readonly keyDType: KvDType;
  readonly valueDType: KvDType;
  readonly headDimK: number;
  readonly headDimV: number;
}

/** Where f16 rounding is delicate: ties, subnormals, the largest value and beyond, zeros of both signs. */
const delicateHalves = [
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

/** Where quantisation of a block of 32 is delicate: each makes one. */
const delicateBlocks: readonly ((random: Random) => Float32Array)[] = [
  (random) => random.normals(32).map((value) => (random.uniform() < 0.2 ? delicateHalves[random.integer(0, 14)]! : value)),
  (random) => random.normals(32),
  // d = 1 for q8_0: every value lies half-way between two quants.
  (random) => Float32Array.from({ length: 32 }, (_, i) => (i === 7 ? -127 : random.integer(-120, 119) + 0.5)),
  // d = ±1 for q4_0: ties again, and ±8 of which the first decides the sign of d and the other does not fit.
  (random) => Float32Array.from({ length: 32 }, (_, i) => (i === 3 ? 8 : i === 21 ? -8 : random.integer(-8, 7) + 0.5)),
  (random) => Float32Array.from({ length: 32 }, (_, i) => (i === 30 ? 8 : i === 5 ? -8 : random.integer(-8, 7) + 0.5)),
  () => new Float32Array(32),
  () => new Float32Array(32).fill(-0),
  // Scales in f16 that are subnormal, zero and infinite.
  (random) => random.normals(32, 1e-4),
  (random) => random.normals(32, 1e-7),
  (random) => random.normals(32, 1e8),
  // No scale: 1 / d is no finite number, or a value is none.
  (random) => random.normals(32, 1e-40),
  (random) => random.normals(32).fill(Number.NaN, 9, 11),
  (random) => random.normals(32).fill(random.uniform() < 0.5 ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY, 4, 5),
];

/** Blocks of 32 at multiples of 32 from the start. */
function delicateValues(random: Random, count: number): Float32Array {
  const values = new Float32Array(Math.ceil(count / 32) * 32);
  for (let at = 0; at < values.length; at += 32) values.set(delicateBlocks[random.integer(0, delicateBlocks.length - 1)]!(random), at);
  return values.subarray(0, count);
}

/** Exact: every slot that is named holds the rounded values, every other one what it held. */
function storePlan(shape: StoreShape): OpPlan {
  const { numBlocks, numKvHeads, blockSize, headDimK, headDimV, keyDType, valueDType } = shape;
  const random = new Random(headDimK * 100 + headDimV);
  const numSlots = numBlocks * blockSize;
  const vOffset = Math.ceil((numKvHeads * headDimK) / 64) * 64;
  const rowLength = vOffset + numKvHeads * headDimV;
  const stride = rowLength + 3;
  const fused = new Float32Array(maxBatchSize * stride);
  for (let t = 0; t < maxBatchSize; t++) fused.set(delicateValues(random, rowLength), t * stride);
  // Distinct slots, the first and the last one among them.
  const between = random.permutation(numSlots - 2).map((slot) => slot + 1);
  const slotMapping = Int32Array.from([numSlots - 1, 0, ...between].slice(0, maxBatchSize));
  const expectedCache = (dtype: KvDType, headDim: number, offset: number, size: number) => {
    const cache = emptyCache(dtype, shape, headDim);
    for (let t = 0; t < size; t++)
      for (let head = 0; head < numKvHeads; head++) {
        const first = t * stride + offset + head * headDim;
        storeVector(cache, slotMapping[t]!, head, fused.slice(first, first + headDim));
      }
    return cache.array;
  };
  const steps = batchSizes.map((size): OpStep => {
    const keys = expectedCache(keyDType, headDimK, 0, size);
    const values = expectedCache(valueDType, headDimV, vOffset, size);
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
  const keyCache = emptyCache(keyDType, shape, headDimK);
  const valueCache = emptyCache(valueDType, shape, headDimV);
  return {
    arrays: { fused, slotMapping, keyCache: keyCache.array, valueCache: valueCache.array },
    outputs: ["keyCache", "valueCache"],
    views: {
      k: { array: "fused", shape: ["numTokens", numKvHeads, headDimK], rowStride: stride },
      v: { array: "fused", shape: ["numTokens", numKvHeads, headDimV], rowStride: stride, offset: vOffset },
      keyCache: cacheView("keyCache", keyCache),
      valueCache: cacheView("valueCache", valueCache),
      slotMapping: { array: "slotMapping", shape: ["numTokens"] },
    },
    record: (encoder, tensors) => encoder.storeKv(tensors.k!, tensors.v!, tensors.keyCache!, tensors.valueCache!, tensors.slotMapping!),
    steps: [...steps, fault(numSlots), fault(-1), steps[4]!],
  };
}

const floatShapes = (["f32", "f16"] as const).flatMap((dtype) => {
  const dtypes = { keyDType: dtype, valueDType: dtype };
  return [
    { ...dtypes, numBlocks: 40, numKvHeads: 1, blockSize: 1, headDimK: 1, headDimV: 1 },
    { ...dtypes, numBlocks: 5, numKvHeads: 2, blockSize: 16, headDimK: 64, headDimV: 64 },
    { ...dtypes, numBlocks: 7, numKvHeads: 3, blockSize: 5, headDimK: 24, headDimV: 40 },
  ];
});

const quantisedPairs = [
  ["q8_0", "q8_0"],
  ["q4_0", "q4_0"],
  ["q8_0", "q4_0"],
  ["q4_0", "f16"],
  ["f32", "q8_0"],
] as const;

const shapes: readonly StoreShape[] = [
  ...floatShapes,
  { keyDType: "f16", valueDType: "f32", numBlocks: 7, numKvHeads: 3, blockSize: 5, headDimK: 24, headDimV: 40 },
  ...quantisedPairs.flatMap(([keyDType, valueDType]) => [
    { keyDType, valueDType, numBlocks: 40, numKvHeads: 1, blockSize: 1, headDimK: 32, headDimV: 32 },
    { keyDType, valueDType, numBlocks: 5, numKvHeads: 3, blockSize: 16, headDimK: 64, headDimV: 96 },
  ]),
];

/** Heads of 48 elements are no whole number of blocks: the op refuses the step rather than write across heads. */
function brokenHeadsPlan(): OpPlan {
  const heads = { array: "heads", shape: ["numTokens", 2, 48] } as const;
  const cache = { array: "cache", dtype: "q8_0", shape: [2, 2, 16, 48] } as const;
  return {
    arrays: {
      heads: new Random(48).normals(2 * 2 * 48),
      cache: new Uint8Array(byteLengthOf("q8_0", 2 * 2 * 16 * 48)),
      slotMapping: Int32Array.of(3, 17),
    },
    outputs: ["cache"],
    views: { heads, cache, slotMapping: { array: "slotMapping", shape: ["numTokens"] } },
    record: (encoder, tensors) => encoder.storeKv(tensors.heads!, tensors.heads!, tensors.cache!, tensors.cache!, tensors.slotMapping!),
    steps: [{ bindings: { numTokens: 2 }, faultDetail: "48" }],
  };
}

const storeCases = shapes.map((shape): OpCase => {
  const { keyDType, valueDType, numKvHeads, blockSize, headDimK, headDimV } = shape;
  const dtypes = keyDType === valueDType ? keyDType : `${keyDType} and ${valueDType}`;
  const name = `storeKv ${dtypes}, ${numKvHeads} heads of ${headDimK} and ${headDimV}, blocks of ${blockSize}`;
  return { name, op: "storeKv", dtype: keyDType, otherDType: valueDType, plan: () => storePlan(shape) };
});

export const storeKvCases: readonly OpCase[] = [
  ...storeCases,
  { name: "storeKv q8_0, heads of 48 are a fault", op: "storeKv", dtype: "q8_0", plan: brokenHeadsPlan },
];
