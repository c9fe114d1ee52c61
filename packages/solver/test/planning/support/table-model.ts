/** A model of a few figures whose every byte can be checked by hand: no header, no graph, the same arithmetic as a `DemandModel`. */
import {
  type BackendTraits,
  type BytesByClass,
  type DemandDevice,
  type DemandModel,
  type DemandSettings,
  type DeviceDemand,
  type DType,
  dtypes,
  InvalidPlanError,
  InvalidRequestError,
  type MemoryDemand,
  type OffloadUnit,
  type PlacedBytes,
  type Placement,
  type ResolvedDemandSettings,
  type UnitBytes,
} from "@thermocline/spec";

export interface ModelTable {
  readonly name?: string;
  readonly dtype?: DType;
  readonly numLayers?: number;
  readonly hiddenSize?: number;
  readonly numNeurons?: number;
  /** Every layer has experts in place of a feed-forward: each of so many neurons. */
  readonly experts?: { readonly count: number; readonly used: number; readonly numNeurons: number };
  readonly numKvHeads?: number;
  readonly headDim?: number;
  readonly vocabSize?: number;
  readonly contextLength?: number;
  /** Of every neuron. */
  readonly activationFrequencies?: readonly number[];
  readonly estimates?: readonly string[];
}

const defaults = { numLayers: 8, hiddenSize: 1024, numNeurons: 4096, numKvHeads: 4, headDim: 128, vocabSize: 8192, contextLength: 32_768 };

/** Activations are four vectors of the stream and one of neurons; a device without neurons has no use for the latter. */
const numStreamVectors = 4;
const stagingBytes = 4096;

export function tableModel(table: ModelTable = {}): DemandModel {
  const shape = { ...defaults, dtype: "q4_0" as DType, ...table };
  const units = unitsOf(shape);
  const bytesOfWeights = units.reduce((sum, unit) => sum + weightBytesOf(unit), 0);
  const model = {
    identity: `table-${shape.name ?? "model"}-${shape.dtype}`,
    name: shape.name ?? "table model",
    architecture: "table",
    quantisation: shape.dtype,
    numLayers: shape.numLayers,
    contextLength: shape.contextLength,
    weightBytes: bytesOfWeights,
  };

  function unitBytesOf(unit: OffloadUnit, { traits }: DemandDevice, settings: ResolvedDemandSettings): UnitBytes {
    const keyType = settings.keyCacheDType ?? traits.kvDTypes[0]!;
    const valueType = settings.valueCacheDType ?? traits.kvDTypes[0]!;
    const elements = shape.numKvHeads * shape.headDim;
    const kvBytesPerToken = unit.kvCache === undefined ? 0 : elements * (bytesPerElement(keyType) + bytesPerElement(valueType));
    // Blocks of 32 tokens, as a paged cache has them.
    const kvCacheBytes = kvBytesPerToken * Math.ceil(settings.kvCacheTokens / 32) * 32;
    const weightBytes = weightBytesOf(unit);
    if (unit.rows === undefined) return { weightBytes, kvCacheBytes, kvBytesPerToken };
    const bytesPerBlock = (weightBytes * unit.rows.blockSize) / unit.rows.count;
    return { weightBytes, kvCacheBytes, kvBytesPerToken, part: { fixedBytes: traits.alignment, bytesPerBlock } };
  }

  const streamBytes = ({ maxBatchTokens }: ResolvedDemandSettings) => maxBatchTokens * shape.hiddenSize * 4;
  const neuronBytes = ({ maxBatchTokens }: ResolvedDemandSettings) => maxBatchTokens * shape.numNeurons * 4;

  function overheadOf(settings: ResolvedDemandSettings, contextBytes = 0): BytesByClass {
    const activations = numStreamVectors * streamBytes(settings) + neuronBytes(settings);
    return { activations, staging: stagingBytes, ...(contextBytes > 0 && { context: contextBytes }) };
  }

  function resolve(devices: readonly DemandDevice[], settings: DemandSettings): ResolvedDemandSettings {
    const { contextLength = Math.min(4096, shape.contextLength), maxBatchTokens = 256, maxSequences = 1 } = settings;
    for (const [name, value] of Object.entries({ contextLength, maxBatchTokens, maxSequences }))
      if (!Number.isSafeInteger(value) || value < 1) throw new InvalidRequestError(name, value, `is ${value}`, "give a whole number");
    for (const dtype of [settings.keyCacheDType, settings.valueCacheDType])
      if (dtype !== undefined && !devices.some(({ traits }) => traits.kvDTypes.includes(dtype)))
        throw new InvalidRequestError("keyCacheDType", dtype, `is ${dtype}`, "use a type that a device has");
    const { kvCacheTokens = contextLength * maxSequences } = settings;
    return { ...settings, contextLength, maxBatchTokens, maxSequences, kvCacheTokens };
  }

  function demandOf(devices: readonly DemandDevice[], given: DemandSettings): MemoryDemand {
    const settings = resolve(devices, given);
    const demands = devices.map((device): [string, DeviceDemand] => {
      const held = units.filter((unit) => unit.weights.every(({ dtype }) => device.traits.supports("matmul", dtype)));
      const bytes = held.map((unit) => [unit.id, unitBytesOf(unit, device, settings)] as const);
      return [device.id, { units: Object.fromEntries(bytes), overheadBytes: overheadOf(settings, device.contextBytes) }];
    });
    const handOverBytesPerToken = shape.hiddenSize * 4;
    return { model, settings, estimates: shape.estimates ?? [], units, devices: Object.fromEntries(demands), handOverBytesPerToken };
  }

  function bytesOf(devices: readonly DemandDevice[], given: DemandSettings, placement: Placement): readonly PlacedBytes[] {
    const settings = resolve(devices, given);
    const reservations: PlacedBytes[] = [];
    for (const device of devices) {
      const add = (memoryClass: PlacedBytes["class"], label: string, byteLength: number) => {
        if (byteLength > 0) reservations.push({ device: device.id, class: memoryClass, label, byteLength });
      };
      let holdsUnits = false;
      let holdsNeurons = false;
      for (const unit of units) {
        const parts = placement.get(unit.id);
        if (parts === undefined) throw new InvalidPlanError(`unit ${unit.id}`, "has no place", "place it");
        const part = parts.find((candidate) => candidate.device === device.id);
        if (part === undefined) continue;
        holdsUnits = true;
        holdsNeurons ||= unit.kind === "feed-forward" || unit.kind === "experts";
        const whole = unitBytesOf(unit, device, settings);
        const numRows = part.rows?.reduce((sum, [, count]) => sum + count, 0);
        add("weights", unit.id, numRows === undefined ? whole.weightBytes : (whole.weightBytes * numRows) / unit.rows!.count);
        add("kv-cache", `layer ${unit.layer}`, whole.kvCacheBytes);
      }
      add("context", "runtime", device.contextBytes ?? 0);
      if (!holdsUnits) continue;
      add("staging", "step", stagingBytes);
      add("activations", "arena", numStreamVectors * streamBytes(settings) + (holdsNeurons ? neuronBytes(settings) : 0));
    }
    return reservations;
  }

  return { model, demandOf, bytesOf, intermediatesOf: () => [] };
}

export function bytesPerElement(dtype: DType): number {
  return dtypes[dtype].blockBytes / dtypes[dtype].blockSize;
}

const weightBytesOf = ({ weights }: OffloadUnit) => weights.reduce((sum, entry) => sum + entry.alwaysBytes + entry.conditionalBytes, 0);

type Shape = Required<Pick<ModelTable, "dtype" | keyof typeof defaults>> & ModelTable;

function unitsOf(shape: Shape): readonly OffloadUnit[] {
  const { hiddenSize, numNeurons, numKvHeads, headDim, vocabSize, experts, dtype, activationFrequencies } = shape;
  const bytes = (elements: number) => elements * bytesPerElement(dtype);
  const unit = (
    id: string,
    kind: OffloadUnit["kind"],
    layer: number,
    [always, conditional]: readonly [number, number],
    more: Partial<OffloadUnit> = {},
  ): OffloadUnit => ({
    id,
    kind,
    layer,
    tensors: [`${id}.weight`],
    weights: [{ dtype, alwaysBytes: bytes(always), conditionalBytes: bytes(conditional) }],
    activationFrequency: 1,
    numCommands: 4,
    ...more,
  });
  const kvCache = { multiplyAddsPerCachedToken: hiddenSize * 2, stateBytesPerSequence: 0 };
  const attention = hiddenSize * (2 * hiddenSize + 2 * numKvHeads * headDim);
  const neurons = 3 * hiddenSize * numNeurons;
  const layers = Array.from({ length: shape.numLayers }, (_, layer) => {
    const first = unit(`blk.${layer}.attention`, "attention", layer, [attention, 0], { kvCache });
    if (experts !== undefined) {
      const rows = { count: experts.count, blockSize: 1 };
      const weights = [0, 3 * hiddenSize * experts.numNeurons * experts.count] as const;
      const activationFrequency = experts.used / experts.count;
      return [
        first,
        unit(`blk.${layer}.router`, "router", layer, [hiddenSize * experts.count, 0]),
        unit(`blk.${layer}.experts`, "experts", layer, weights, { rows, activationFrequency }),
      ];
    }
    const rows = { count: numNeurons, blockSize: 32, ...(activationFrequencies && { activationFrequencies }) };
    const weights = activationFrequencies === undefined ? ([neurons, 0] as const) : ([neurons / 3, (neurons * 2) / 3] as const);
    return [first, unit(`blk.${layer}.feed-forward`, "feed-forward", layer, weights, { rows })];
  });
  const table = hiddenSize * vocabSize;
  return [
    unit("embedding", "embedding", -1, [0, table], { activationFrequency: 1 / vocabSize, numCommands: 1 }),
    ...layers.flat(),
    unit("head", "head", -1, [table, 0]),
  ];
}

/** Of a backend that has every kernel, and these types of KV cache. */
export function tableTraits(kind: string, kvDTypes: readonly DType[] = ["f16", "q8_0", "q4_0"]): BackendTraits {
  return {
    kind,
    alignment: 64,
    kvDTypes,
    readsHostMemory: true,
    weightLayout: () => "plain",
    packedByteLength: ({ range }) => range.byteLength,
    loadStagingByteLength: () => 0,
    supports: () => true,
    workspaceByteLength: () => 0,
  };
}
