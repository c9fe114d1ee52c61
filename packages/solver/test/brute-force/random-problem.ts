/** Offload problems small enough to try every placement, and as varied as the interfaces allow. */
import {
  type DeviceId,
  type OffloadProblem,
  type OffloadUnit,
  type ProblemDevice,
  type UnitBytes,
  unitByteLength,
} from "@thermocline/spec";
import { createRandom } from "./random-numbers.js";

const mebi = 2 ** 20;

/** Three devices, the host's memory among those that are short, and one or two layers of neurons or experts. */
export function randomProblem(seed: number): OffloadProblem {
  const random = createRandom(seed);
  const between = (low: number, high: number) => low + (high - low) * random();
  const integer = (low: number, high: number) => Math.floor(between(low, high + 1));
  const chance = (probability: number) => random() < probability;

  const units: OffloadUnit[] = [];
  const kvBytesOf = new Map<string, number>();
  const add = (
    kind: OffloadUnit["kind"],
    layer: number,
    bytes: number,
    { rows, conditional = 0, frequency = 1 }: { rows?: OffloadUnit["rows"]; conditional?: number; frequency?: number } = {},
  ) => {
    const second = chance(0.3) ? integer(0, Math.floor(bytes / 3)) : 0;
    const dtypes = [
      { dtype: "q4_0" as const, total: bytes - second },
      { dtype: "f16" as const, total: second },
    ].filter(({ total }) => total > 0);
    const weights = dtypes.map(({ dtype, total }) => {
      const conditionalBytes = Math.floor(total * conditional);
      return { dtype, alwaysBytes: total - conditionalBytes, conditionalBytes };
    });
    const id = layer < 0 ? kind : `blk.${layer}.${kind}`;
    const kvCache =
      kind !== "attention"
        ? {}
        : {
            kvCache: {
              ...(chance(0.3) && { slidingWindow: integer(16, 256) }),
              multiplyAddsPerCachedToken: integer(256, 4096),
              stateBytesPerSequence: chance(0.2) ? integer(0, mebi) : 0,
            },
          };
    if (kind === "attention") kvBytesOf.set(id, integer(0, 4 * mebi));
    const common = { id, kind, layer, tensors: [`${id}.weight`], weights, activationFrequency: frequency, numCommands: integer(1, 9) };
    units.push({ ...common, ...kvCache, ...(rows && { rows }) });
  };

  add("embedding", -1, integer(1, 8) * mebi, { conditional: 1, frequency: 1e-3 });
  const numLayers = chance(0.5) ? 1 : 2;
  for (let layer = 0; layer < numLayers; layer++) {
    add("attention", layer, integer(2 * mebi, 8 * mebi));
    if (chance(0.35)) {
      add("router", layer, integer(mebi / 64, mebi / 4));
      const count = integer(2, 4);
      add("experts", layer, integer(4, 24) * mebi, {
        rows: { count, blockSize: 1, ...(chance(0.5) && { activationFrequencies: Array.from({ length: count }, () => between(0.05, 1)) }) },
        conditional: 1,
        frequency: between(0.1, 0.9),
      });
    } else {
      const blockSize = chance(0.5) ? 32 : 16;
      const numBlocks = integer(2, 4);
      // The last block may be short.
      const count = numBlocks * blockSize - (chance(0.3) ? integer(1, blockSize - 1) : 0);
      const blockFrequencies = Array.from({ length: numBlocks }, () => between(0, 1) ** 2);
      const frequencies = Array.from({ length: count }, (_, row) => blockFrequencies[Math.floor(row / blockSize)]!);
      const isMeasured = chance(0.5);
      add("feed-forward", layer, integer(4, 24) * mebi, {
        rows: { count, blockSize, ...(isMeasured && { activationFrequencies: frequencies }) },
        conditional: isMeasured || chance(0.3) ? between(0.3, 1) : 0,
        frequency: between(0.05, 1),
      });
    }
  }
  add("head", -1, integer(1, 8) * mebi);

  const totalBytes = units.reduce((sum, unit) => sum + unitByteLength(unit) + (kvBytesOf.get(unit.id) ?? 0), 0);
  const device = (id: DeviceId, kind: "cpu" | "gpu", speed: number, share: number): ProblemDevice => {
    const cannotHold = chance(0.1) ? units[integer(0, units.length - 1)]!.id : undefined;
    const held: Record<string, UnitBytes> = {};
    for (const unit of units) {
      if (unit.id === cannotHold && kind === "gpu") continue;
      const packing = between(1, 1.15);
      const weightBytes = Math.ceil(unitByteLength(unit) * packing);
      const kvCacheBytes = kvBytesOf.get(unit.id) ?? 0;
      const bytesPerBlock = unit.rows === undefined ? 0 : Math.ceil(weightBytes / Math.ceil(unit.rows.count / unit.rows.blockSize));
      held[unit.id] = {
        weightBytes,
        kvCacheBytes,
        kvBytesPerToken: kvCacheBytes / 512,
        ...(unit.rows && { part: { fixedBytes: integer(0, mebi / 16), bytesPerBlock } }),
      };
    }
    const rates = {
      weightBytesPerSecond: { other: speed * between(0.7, 1.3), ...(chance(0.5) && { f16: speed * between(0.5, 1.5) }) },
      operationsPerSecond: { other: speed * between(2, 60), ...(chance(0.3) && { q4_0: speed * between(2, 60) }) },
      kvBytesPerSecond: speed * between(0.5, 1),
      attentionOperationsPerSecond: speed * between(1, 20),
      commandSeconds: between(0, 1e-5),
    };
    return { id, kind, rates, budgetBytes: Math.floor(totalBytes * share), units: held };
  };
  const devices = [
    device("cpu:0", "cpu", between(1e10, 6e10), between(0.6, 1.5)),
    device("cuda:0", "gpu", between(1e11, 1e12), between(0.1, 0.6)),
    device("cuda:1", "gpu", between(5e10, 6e11), between(0.1, 0.5)),
  ];
  const ids = devices.map(({ id }) => id);
  const links = ids.flatMap((from) =>
    ids
      .filter((to) => to !== from)
      // Two GPUs may only meet through the host.
      .filter((to) => from === "cpu:0" || to === "cpu:0" || chance(0.5))
      .map((to) => ({ from, to, bytesPerSecond: between(4e9, 3e10), latencySeconds: between(2e-6, 6e-5) })),
  );
  const allowedDevices: Record<string, readonly DeviceId[]> = {};
  for (const unit of units) {
    if (!chance(0.12)) continue;
    const allowed = ids.filter(() => chance(0.6));
    allowedDevices[unit.id] = allowed.includes("cpu:0") || allowed.length === 0 ? [...new Set(["cpu:0", ...allowed])] : allowed;
    if (allowed.length > 0 && allowed.every((id) => devices.find((entry) => entry.id === id)!.units[unit.id] === undefined))
      delete allowedDevices[unit.id];
  }
  const batch = chance(0.6) ? 1 : integer(2, 8);
  const workload = {
    promptTokens: chance(0.15) ? 0 : integer(1, 700),
    outputTokens: integer(1, 200),
    contextDepth: chance(0.5) ? 0 : integer(1, 4000),
    batch,
  };
  // Every block is a group of its own.
  return {
    units,
    devices,
    links,
    workload,
    maxBatchTokens: integer(32, 512),
    handOverBytesPerToken: 4096,
    allowedDevices,
    neuronsPerGroup: 16,
  };
}
