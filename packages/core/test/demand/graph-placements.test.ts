/** What a demand promises of every placement, held against the drafts of random ones. */
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import { createCpuTraits } from "@thermocline/cpu-kernels/traits";
import { openGguf } from "@thermocline/loader-gguf";
import type {
  BackendTraits,
  DemandDevice,
  DemandSettings,
  MemoryClass,
  MemoryDemand,
  OffloadUnit,
  PlacedBytes,
  PlacedPart,
  Placement,
} from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createDemandModel } from "../../src/demand/index.js";
import { createRandom } from "../support/embedded-model.js";
import { buildRandomBert } from "../support/random-bert.js";
import { openRandomModel, type RandomModelName, randomModelNames } from "../support/random-model.js";
import { placeAtRandom } from "../support/random-placement.js";

const cpuTraits = createCpuTraits({ threads: 3 });
const referenceTraits = createReferenceBackend().traits;
/** The same arithmetic on a device that copies what it reads of host memory, as GPUs do, and aligns as they do. */
const copyingTraits: BackendTraits = { ...cpuTraits, alignment: 256, readsHostMemory: false };

const device = (id: string, traits: BackendTraits, contextBytes = 0): DemandDevice => ({ id, traits, contextBytes });
const machines: Record<string, readonly DemandDevice[]> = {
  "a CPU": [device("cpu:0", cpuTraits)],
  "two CPUs": [device("cpu:0", cpuTraits), device("reference:0", referenceTraits)],
  "a GPU and a CPU": [device("gpu:0", copyingTraits, 12_345), device("cpu:0", cpuTraits)],
  "two GPUs and two CPUs": [
    device("gpu:0", copyingTraits, 1),
    device("gpu:1", copyingTraits),
    device("cpu:0", cpuTraits),
    device("reference:0", referenceTraits),
  ],
};
const allSettings: readonly DemandSettings[] = [
  { contextLength: 64, maxBatchTokens: 7 },
  { contextLength: 128, maxBatchTokens: 48, maxSequences: 3 },
];

const openModel = (name: string) =>
  name === "bert" ? openGguf(new Blob([buildRandomBert({ seed: 1, pooling: "mean" })])) : openRandomModel(name as RandomModelName);

const totalOf = (placed: readonly PlacedBytes[], id: string, memoryClass: MemoryClass) =>
  placed.reduce((sum, entry) => sum + (entry.device === id && entry.class === memoryClass ? entry.byteLength : 0), 0);

function partOf(placement: Placement, unit: OffloadUnit, id: string): PlacedPart | undefined {
  return placement.get(unit.id)!.find((part) => part.device === id);
}

/** Of the units' weights on a device, by the demand. */
function promisedWeightBytes({ units, devices }: MemoryDemand, placement: Placement, id: string): number {
  return units.reduce((sum, unit) => {
    const part = partOf(placement, unit, id);
    if (part === undefined) return sum;
    const bytes = devices[id]!.units[unit.id]!;
    if (part.rows === undefined) return sum + bytes.weightBytes;
    const numBlocks = part.rows.reduce((rows, [, count]) => rows + count, 0) / unit.rows!.blockSize;
    return sum + bytes.part!.fixedBytes + numBlocks * bytes.part!.bytesPerBlock;
  }, 0);
}

describe.each([...randomModelNames, "bert"])("the demand of %s", (name) => {
  it.each(Object.keys(machines))("is never exceeded by a placement on %s", async (machine) => {
    await using source = await openModel(name);
    const model = createDemandModel(source);
    const devices = machines[machine]!;
    const ids = devices.map(({ id }) => id);
    const random = createRandom(11);
    for (const settings of allSettings) {
      const limits = name === "bert" ? { contextLength: settings.contextLength!, maxBatchTokens: 128 } : settings;
      const demand = model.demandOf(devices, limits);
      for (let trial = 0; trial < 12; trial++) {
        const placement = placeAtRandom(demand.units, ids, random);
        const placed = model.bytesOf(devices, limits, placement);
        for (const { id, contextBytes } of devices) {
          const { overheadBytes, units } = demand.devices[id]!;
          const kvCacheBytes = demand.units.reduce(
            (sum, unit) => sum + (partOf(placement, unit, id) ? units[unit.id]!.kvCacheBytes : 0),
            0,
          );
          expect(totalOf(placed, id, "kv-cache")).toBe(kvCacheBytes);
          expect(totalOf(placed, id, "weights")).toBeLessThanOrEqual(
            promisedWeightBytes(demand, placement, id) + (overheadBytes.weights ?? 0),
          );
          expect(totalOf(placed, id, "context")).toBe(contextBytes);
          for (const memoryClass of ["activations", "staging", "transfer", "graphs"] as const) {
            expect(totalOf(placed, id, memoryClass), `${id} ${memoryClass}`).toBeLessThanOrEqual(overheadBytes[memoryClass] ?? 0);
          }
        }
      }
    }
  });
});
