/**
 * Memory of a model that no graph here computes, from its header alone. Weights are exact, and so are KV caches of the kinds that a header
 * describes; what would follow from a graph is an upper bound.
 */
import type {
  DemandDevice,
  DemandModel,
  DemandSettings,
  DeviceDemand,
  DeviceId,
  MemoryDemand,
  ModelSource,
  ModelSummary,
  PlacedBytes,
  Placement,
  ResolvedDemandSettings,
  UnitBytes,
} from "@thermocline/spec";
import { embeddingLimitsOf } from "../embedder-options.js";
import { resolveEngineSettings, stepLimitsOf } from "../engine-options.js";
import { alignUp } from "../graph/arena-plan.js";
import { type DeviceLoading, loadStagingByHolder, loadStagingLabel, mostLoadStagingOn } from "../graph/load-staging.js";
import type { StepLimits } from "../graph/step-limits.js";
import { checkPlacement } from "../placement.js";
import { checkDevices } from "./check-devices.js";
import { type LayerKvBytes, layerKvBytes, slidingWindowOf } from "./kv-cache-bytes.js";
import { summarizeModel } from "./model-summary.js";
import type { ModelShape } from "./shape.js";
import { readModelShape } from "./shape-model.js";
import { activationBytes, commandListBytes, stagingBytes, transferBytes } from "./shape-overhead.js";
import { listShapeUnits, type ShapeUnit } from "./shape-units.js";
import { type PackedUnit, packUnit, partBytes, partOf } from "./shape-weights.js";

/**
 * @throws UnsupportedModelError for a file that holds no decoder of layers; InvalidTensorError where keys or tensors are missing, malformed, or
 * contradict each other.
 */
export function createEstimatedDemandModel(source: ModelSource): DemandModel {
  return new EstimatedDemandModel(source);
}

class EstimatedDemandModel implements DemandModel {
  readonly model: ModelSummary;
  readonly #shape: ModelShape;
  readonly #units: readonly ShapeUnit[];
  readonly #hasRopeScaling: boolean;

  constructor(source: ModelSource) {
    this.#shape = readModelShape(source);
    this.#units = listShapeUnits(this.#shape);
    this.#hasRopeScaling = source.metadata.has(`${this.#shape.architecture}.rope.scaling.type`);
    this.model = summarizeModel(source, { numLayers: this.#shape.layers.length, contextLength: this.#shape.contextLength });
  }

  demandOf(devices: readonly DemandDevice[], settings: DemandSettings): MemoryDemand {
    checkDevices(devices);
    const { limits, settings: resolved } = this.#resolve(settings);
    return {
      model: this.model,
      settings: resolved,
      estimates: this.#estimates(),
      units: this.#units.map(({ unit }) => unit),
      devices: this.#deviceDemands(devices, limits),
      handOverBytesPerToken: 4 * this.#shape.hiddenSize * this.#shape.numResidualStreams,
    };
  }

  bytesOf(devices: readonly DemandDevice[], settings: DemandSettings, placement: Placement): readonly PlacedBytes[] {
    checkDevices(devices);
    const { limits } = this.#resolve(settings);
    checkPlacement(
      placement,
      this.#units.map(({ unit }) => unit),
      devices.map(({ id }) => id),
    );
    const holders = [...new Set(this.#units.flatMap(({ unit }) => placement.get(unit.id)!.map(({ device }) => device)))];
    const used = holders.map((id) => devices.find((device) => device.id === id)!);
    const owner = used.find(({ traits }) => traits.readsHostMemory) ?? used[0];
    const contexts = devices.flatMap(({ id, contextBytes = 0 }): readonly PlacedBytes[] =>
      contextBytes > 0 ? [{ device: id, class: "context", label: "device runtime", byteLength: contextBytes }] : [],
    );
    const loading = used.map((device) =>
      loadingOf(
        device,
        this.#units.filter(({ unit }) => placement.get(unit.id)!.some((part) => part.device === device.id)),
      ),
    );
    const staged = owner === undefined ? [] : [...loadStagingByHolder(loading, owner.id)];
    return [
      ...contexts,
      ...staged.map(([device, byteLength]): PlacedBytes => ({ device, class: "staging", label: loadStagingLabel, byteLength })),
      ...used.flatMap((device) => this.#placedBytes(device, used.length, limits, placement, device === owner)),
    ];
  }

  intermediatesOf(): readonly [] {
    return [];
  }

  /** As an engine would take them, or, for vectors of texts, an embedder. */
  #resolve(settings: DemandSettings): { readonly limits: StepLimits; readonly settings: ResolvedDemandSettings } {
    const shape = this.#shape;
    if (shape.isEmbedder) {
      const limits = embeddingLimitsOf(settings, { contextLength: shape.contextLength, layers: [] });
      const { contextLength, maxBatchTokens, maxSequences, kvGroups, blockSize } = limits;
      return { limits, settings: { contextLength, maxBatchTokens, maxSequences, kvCacheTokens: kvGroups[0]!.numBlocks * blockSize } };
    }
    // Only layers with a cache of their own share blocks.
    const layers = shape.layers.flatMap(({ attention }) => {
      if (attention.kind !== "grouped-query" && attention.kind !== "latent") return [];
      const slidingWindow = slidingWindowOf(attention);
      return [slidingWindow === undefined ? {} : { slidingWindow }];
    });
    return { limits: stepLimitsOf(settings, { ...shape, layers }), settings: resolveEngineSettings(settings, shape) };
  }

  #estimates(): readonly string[] {
    const { architecture, assumptions } = this.#shape;
    return [
      `No graph here computes ${architecture}, so its activations, hand-overs and command lists are upper bounds from the shapes of its tensors.`,
      ...assumptions,
    ];
  }

  #deviceDemands(devices: readonly DemandDevice[], limits: StepLimits): Readonly<Record<DeviceId, DeviceDemand>> {
    const demands = devices.map((device) => this.#deviceDemand(device, devices.length, limits));
    const loading = demands.map(({ possible }, index) => loadingOf(devices[index]!, possible));
    return Object.fromEntries(
      demands.map(({ units, overheadBytes }, index) => {
        const { id } = devices[index]!;
        const staging = (overheadBytes.staging ?? 0) + mostLoadStagingOn(id, loading);
        return [id, { units, overheadBytes: { ...overheadBytes, staging } }];
      }),
    );
  }

  /** Beside it, what loading takes; and the units that the device has kernels for. */
  #deviceDemand(device: DemandDevice, numDevices: number, limits: StepLimits): DeviceDemand & { readonly possible: readonly ShapeUnit[] } {
    const units: Record<string, UnitBytes> = {};
    const possible: ShapeUnit[] = [];
    const packedBySignature = new Map<string, PackedUnit | undefined>();
    const kvByLayer = new Map<number, LayerKvBytes>();
    for (const unit of this.#units) {
      const packed = remember(packedBySignature, signatureOf(unit), () =>
        packUnit(unit, device.traits, this.#constantBytes(unit, device, limits)),
      );
      if (packed === undefined) continue;
      const { layer, kvCache } = unit.unit;
      const kv =
        kvCache === undefined
          ? { kvCacheBytes: 0, kvBytesPerToken: 0 }
          : remember(kvByLayer, layer, () => layerKvBytes(device, this.#shape.layers, layer, limits));
      units[unit.unit.id] = { ...packed, ...kv };
      possible.push(unit);
    }
    const { contextBytes = 0 } = device;
    const overheadBytes = this.#overhead(device, possible, numDevices, limits, true);
    return { units, possible, overheadBytes: { ...overheadBytes, ...(contextBytes > 0 ? { context: contextBytes } : {}) } };
  }

  #overhead(
    { traits }: DemandDevice,
    units: readonly ShapeUnit[],
    numDevices: number,
    limits: StepLimits,
    ownsHostMemory: boolean,
  ): Partial<Record<keyof typeof overheadLabels, number>> {
    const transfer = ownsHostMemory ? transferBytes(this.#shape, this.#units, limits, numDevices) : 0;
    return {
      activations: activationBytes(this.#shape, units, traits, limits, numDevices),
      graphs: commandListBytes(this.#shape, units, limits, numDevices),
      ...(ownsHostMemory ? { staging: stagingBytes(this.#shape, limits) } : {}),
      ...(transfer > 0 ? { transfer } : {}),
    };
  }

  #placedBytes(
    device: DemandDevice,
    numDevices: number,
    limits: StepLimits,
    placement: Placement,
    ownsHostMemory: boolean,
  ): readonly PlacedBytes[] {
    const placed: PlacedBytes[] = [];
    const here: ShapeUnit[] = [];
    const add = (memoryClass: PlacedBytes["class"], label: string, byteLength: number) =>
      void (byteLength > 0 && placed.push({ device: device.id, class: memoryClass, label, byteLength }));
    for (const unit of this.#units) {
      const part = placement.get(unit.unit.id)!.find((candidate) => candidate.device === device.id);
      if (part === undefined) continue;
      here.push(partOf(unit, part.rows));
      const constants = this.#constantBytes(unit, device, limits);
      const rows = part.rows ?? (unit.unit.rows === undefined ? [] : [[0, unit.unit.rows.count] as const]);
      const isShared = unit.shared !== undefined && placement.get(unit.shared.unit)!.some(({ device: holder }) => holder === device.id);
      const own = isShared ? unit.tensors.filter((info) => !unit.shared!.tensors.includes(info)) : unit.tensors;
      add("weights", unit.unit.id, partBytes({ ...unit, tensors: own }, device.traits, rows) + constants);
      if (unit.unit.kvCache !== undefined)
        add("kv-cache", `layer ${unit.unit.layer}`, layerKvBytes(device, this.#shape.layers, unit.unit.layer, limits).kvCacheBytes);
    }
    const overhead = this.#overhead(device, here, numDevices, limits, ownsHostMemory);
    for (const memoryClass of ["activations", "graphs", "staging", "transfer"] as const)
      add(memoryClass, overheadLabels[memoryClass], overhead[memoryClass] ?? 0);
    return placed;
  }

  /** Written at load beside the file's tensors: where each expert lies, the type of every token, and factors of the rotary frequencies where the
   *  file scales them. */
  #constantBytes({ unit, tensors }: ShapeUnit, { traits }: DemandDevice, { maxBatchTokens }: StepLimits): number {
    if (unit.kind === "embedding")
      return tensors.some(({ name }) => name === "token_types.weight") ? alignUp(4 * maxBatchTokens, traits.alignment) : 0;
    const { attention, feedForward } = this.#shape.layers[unit.layer] ?? {};
    if (unit.kind === "experts" && feedForward?.kind === "experts") return alignUp(4 * feedForward.count, traits.alignment);
    if (unit.kind !== "attention" || !this.#hasRopeScaling) return 0;
    const ropeLength = attention?.kind === "grouped-query" ? attention.keyLength : attention?.kind === "latent" ? attention.ropeLength : 0;
    return alignUp(2 * ropeLength, traits.alignment);
  }
}

/** Of whole units: slices of them take no more. */
function loadingOf({ id, traits }: DemandDevice, units: readonly ShapeUnit[]): DeviceLoading {
  let byteLength = 0;
  for (const { tensors } of units) for (const info of tensors) byteLength = Math.max(byteLength, traits.loadStagingByteLength(info));
  return { device: id, readsHostMemory: traits.readsHostMemory, byteLength };
}

const overheadLabels = {
  activations: "arena",
  graphs: "command lists",
  staging: "step inputs and outputs",
  transfer: "hand-overs",
} as const;

/** Layers of one shape are packed alike. */
function signatureOf({ unit, tensors }: ShapeUnit): string {
  const names = tensors.map(({ name, dtype, shape }) => `${name.replace(/^blk\.\d+\./, "")} ${dtype} ${shape}`);
  return `${unit.kind} ${unit.layer < 0 ? unit.id : ""} ${names.join(",")}`;
}

function remember<K, V>(known: Map<K, V>, key: K, make: () => V): V {
  if (!known.has(key)) known.set(key, make());
  return known.get(key)!;
}
