/** What a demand says before anything is there against what an engine then reserves and its backends allocate, byte for byte. */
import { cpuBackendAvailability, createCpuBackend } from "@thermocline/cpu-kernels";
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import { openGguf } from "@thermocline/loader-gguf";
import {
  type Backend,
  type DemandSettings,
  type DType,
  dtypes,
  type MemoryLedger,
  type ModelSource,
  type Placement,
} from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createDemandModel } from "../../src/demand/index.js";
import { createEmbedder, createEngine, listOffloadUnits, placeOnOneDevice, readModelConfig } from "../../src/index.js";
import { ledgerFor } from "../support/embedded-model.js";
import { buildRandomBert } from "../support/random-bert.js";
import { openRandomModel, randomModelNames } from "../support/random-model.js";
import { splitDevices, splitPlacement } from "../support/split-placement.js";

const native = cpuBackendAvailability();
if (!native.available) console.warn(`plans are held against the reference alone: ${native.reasons.join("; ")}`);
const createBackend = (id: string) => (native.available ? createCpuBackend({ id, threads: 1 }) : createReferenceBackend({ id }));

/** Classes of what a backend allocates; command lists and the host memory that devices share are none of it. */
const allocatedClasses = ["weights", "kv-cache", "activations"];

async function expectPlanned(
  source: ModelSource,
  backends: readonly Backend[],
  placement: Placement,
  settings: DemandSettings,
  open: (options: { readonly ledger: MemoryLedger; readonly onProgress: () => void }) => Promise<AsyncDisposable>,
): Promise<void> {
  const devices = backends.map(({ device, traits }) => ({ id: device.id, traits }));
  const planned = createDemandModel(source).bytesOf(devices, settings, placement);
  const ledger = ledgerFor(...backends);
  const reserved = () =>
    ledger.report().map(({ device, class: memoryClass, label, byteLength }) => ({ device, class: memoryClass, label, byteLength }));
  let whileLoading: ReturnType<typeof reserved> | undefined;
  const onProgress = () => {
    whileLoading ??= reserved();
  };
  await using _opened = await open({ ledger, onProgress });
  expect(whileLoading).toEqual(planned);
  const isKept = ({ label }: { readonly label: string }) => label !== "weights being loaded";
  expect(planned.filter((entry) => !isKept(entry)).length).toBeGreaterThan(0);
  expect(reserved()).toEqual(planned.filter(isKept));
  for (const { device, statistics } of backends.map((backend) => ({ device: backend.device, statistics: backend.statistics() }))) {
    const allocated = planned.filter((entry) => entry.device === device.id && allocatedClasses.includes(entry.class));
    expect(statistics.allocatedBytes).toBe(allocated.reduce((sum, { byteLength }) => sum + byteLength, 0));
  }
}

/** Whole on one device, and whatever can be split over two. */
async function expectEngineAsPlanned(source: ModelSource, settings: DemandSettings): Promise<void> {
  const [home] = splitDevices;
  const whole = placeOnOneDevice(listOffloadUnits(source, readModelConfig(source)), home);
  for (const [devices, placement] of [[[home], whole] as const, [splitDevices, splitPlacement(source)] as const]) {
    const backends = devices.map(createBackend);
    await expectPlanned(source, backends, placement, settings, (options) =>
      createEngine({ source, backends, placement, ...settings, ...options }),
    );
    for (const backend of backends) await backend[Symbol.asyncDispose]();
  }
}

const weightDTypes = (Object.keys(dtypes) as DType[]).filter((dtype) => createReferenceBackend().traits.supports("matmul", dtype));
const kvDTypes = createBackend("cpu:0").traits.kvDTypes;
/** Rows of whole blocks of every type. */
const blockShape = { numLayers: 2, hiddenSize: 256, headDim: 64, numKvHeads: 2, feedForwardLength: 512 };

describe("what an engine reserves and allocates is what was planned", () => {
  it.each(randomModelNames)("for %s", async (name) => {
    await using source = await openRandomModel(name);
    await expectEngineAsPlanned(source, {});
    await expectEngineAsPlanned(source, {
      contextLength: 100,
      maxBatchTokens: 33,
      maxSequences: 3,
      kvCacheTokens: 150,
      maxScoredTokens: 5,
    });
  });

  it.each(weightDTypes)("for weights of %s", async (dtype) => {
    await using source = await openRandomModel("llama", { dtype, shape: blockShape });
    expect([...source.tensors.values()].some((info) => info.dtype === dtype)).toBe(true);
    await expectEngineAsPlanned(source, { contextLength: 64 });
  });

  it.each(["q4_0", "q6_k", "iq2_xxs", "mxfp4", "f16"] as const)("for experts of %s", async (dtype) => {
    const experts = { count: 5, used: 2, feedForwardLength: 256 };
    await using source = await openRandomModel("qwen3moe", { dtype, shape: { ...blockShape, experts } });
    await expectEngineAsPlanned(source, { contextLength: 64 });
  });

  it.each(kvDTypes.flatMap((keyCacheDType) => kvDTypes.map((valueCacheDType) => ({ keyCacheDType, valueCacheDType }))))(
    "for keys of $keyCacheDType and values of $valueCacheDType",
    async (settings) => {
      await using source = await openRandomModel("phi3");
      await expectEngineAsPlanned(source, { contextLength: 128, ...settings });
    },
  );

  it.each(["mean", "cls"] as const)("for a model of embeddings, pooled by %s", async (pooling) => {
    await using source = await openGguf(new Blob([buildRandomBert({ seed: 1, pooling })]));
    for (const settings of [{}, { contextLength: 40, maxBatchTokens: 90, maxSequences: 4 }]) {
      const backends = splitDevices.map(createBackend);
      const placement = splitPlacement(source);
      await expectPlanned(source, backends, placement, settings, (options) =>
        createEmbedder({ source, backends, placement, ...settings, ...options }),
      );
      for (const backend of backends) await backend[Symbol.asyncDispose]();
    }
  });
});
