import {
  type DeviceId,
  type DType,
  dtypes,
  type IndexRange,
  type MemoryClass,
  memoryClasses,
  type OffloadPlan,
  type OffloadPlanUnit,
  type OffloadUnit,
  uniformOf,
} from "@thermocline/spec";

/** Whole numbers below a limit, the same for the same seed. */
export type Random = (limit: number) => number;

export function createRandom(seed: number): Random {
  let draw = 0;
  return (limit) => Math.floor(uniformOf(seed, draw++) * limit);
}

/** A model of 1 to 4 layers, dense or of experts, with random rows and blocks. */
export function randomUnits(random: Random): readonly OffloadUnit[] {
  const unit = (id: string, kind: OffloadUnit["kind"], layer: number, rows?: OffloadUnit["rows"]): OffloadUnit => ({
    id,
    kind,
    layer,
    tensors: [`${id}.weight`],
    weights: [{ dtype: "q8_0", alwaysBytes: 34 * (1 + random(1000)), conditionalBytes: 0 }],
    activationFrequency: 1,
    numCommands: 4,
    ...(rows && { rows }),
  });
  const layers = Array.from({ length: 1 + random(4) }, (_, layer) => {
    const isMixture = random(3) === 0;
    return [
      unit(`blk.${layer}.attention`, "attention", layer),
      ...(isMixture
        ? [
            unit(`blk.${layer}.router`, "router", layer),
            unit(`blk.${layer}.experts`, "experts", layer, { count: 1 + random(32), blockSize: 1 }),
          ]
        : [unit(`blk.${layer}.feed-forward`, "feed-forward", layer, { count: 1 + random(2000), blockSize: [1, 32, 256][random(3)]! })]),
    ];
  });
  return [unit("embedding", "embedding", -1), ...layers.flat(), unit("head", "head", -1)];
}

function randomRanges(random: Random, { count, blockSize }: NonNullable<OffloadUnit["rows"]>, devices: readonly DeviceId[]) {
  const ranges = new Map<DeviceId, IndexRange[]>();
  for (let first = 0; first < count; ) {
    const length = Math.min(count - first, (1 + random(8)) * blockSize);
    const device = devices[random(devices.length)]!;
    ranges.set(device, [...(ranges.get(device) ?? []), [first, length]]);
    first += length;
  }
  return ranges;
}

/** A valid plan of the units, with or without each of the fields that a plan may have. */
export function randomPlan(random: Random, model: string, units: readonly OffloadUnit[]): OffloadPlan {
  const some = <T extends object>(fields: () => T): T | object => (random(2) === 0 ? {} : fields());
  const devices = Array.from({ length: 1 + random(3) }, (_, index) => `${["cpu", "cuda"][random(2)]}:${index}`);
  const entry = (id: string, device: DeviceId, rows?: readonly IndexRange[]): OffloadPlanUnit => {
    const kvCacheByteLength = random(500);
    return {
      id,
      device,
      ...(rows && { rows }),
      ...some(() => ({ byteLength: kvCacheByteLength + random(9000), kvCacheByteLength })),
      ...some(() => ({ reason: ["", "pinned", "no room \"left\" <there> & 'here'\n"][random(3)]! })),
      ...some(() => ({ predictedSeconds: random(1000) / 1e6 })),
      ...some(() => ({ activationFrequency: random(1001) / 1000 })),
    };
  };
  const entries = units.flatMap(({ id, rows }) => {
    const ranges = rows === undefined ? undefined : randomRanges(random, rows, devices);
    if (ranges === undefined || ranges.size === 1) return [entry(id, devices[random(devices.length)]!)];
    return [...ranges].map(([device, own]) => entry(id, device, own));
  });
  const anyDType = () => Object.keys(dtypes)[random(Object.keys(dtypes).length)] as DType;
  const classBytes = () =>
    Object.fromEntries(memoryClasses.flatMap((name) => (random(2) ? [[name, random(5000)]] : []))) as Partial<Record<MemoryClass, number>>;
  return {
    version: 1,
    model,
    devices: Object.fromEntries(
      devices.map((id) => [
        id,
        {
          backend: id.split(":")[0]!,
          ...some(() => ({ threads: 1 + random(8) })),
          ...some(() => ({ budgetBytes: 1e6 + random(1e9), reserveBytes: random(1000) })),
          ...some(() => ({ name: "Some device" })),
        },
      ]),
    ),
    units: entries,
    ...some(() => ({
      summary: { name: "Model", architecture: "llama", quantisation: "q8_0", numLayers: 4, contextLength: 8192, weightBytes: random(1e9) },
    })),
    ...some(() => ({
      settings: {
        ...some(() => ({ contextLength: 4096 + random(4096), maxBatchTokens: 1 + random(512), maxSequences: 4 + random(4) })),
        ...some(() => ({ kvCacheTokens: 1 + random(10_000), keyCacheDType: anyDType(), valueCacheDType: anyDType() })),
        ...some(() => ({ maxScoredTokens: 1 + random(512) })),
      },
    })),
    ...some(() => ({
      workload: { promptTokens: random(1024), outputTokens: random(1024), contextDepth: random(2048), batch: 1 + random(4) },
    })),
    ...some(() => ({ machine: { name: "test", source: "measured" } })),
    ...some(() => ({
      solver: { name: "greedy", version: "0.1.0", status: "feasible" as const, boundSeconds: 0.5, gap: random(101) / 100 },
    })),
    ...some(() => ({ bytes: Object.fromEntries(devices.map((id) => [id, classBytes()])) })),
    ...some(() => ({ estimates: Array.from({ length: random(3) }, () => "Activations are an upper bound.") })),
    ...some(() => ({ predicted: { prefillSeconds: 0.1, secondsPerToken: 0.01, ...some(() => ({ workloadSeconds: 1 })) } })),
    ...some(() => ({
      comparison: ["plan", "whole-layer"].map((strategy) => ({
        strategy,
        contextDepth: 128,
        prefillTokensPerSecond: random(1000),
        decodeTokensPerSecond: random(100),
      })),
    })),
  };
}
