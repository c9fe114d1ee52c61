/**
 * A model's graph, drafted for several devices before any memory exists: commands over stand-in tensors, one list per device, with
 * hand-overs between them. From the draft follow the memory that the graph needs and, once that is allocated, the command lists.
 *
 * Hand-overs reuse one staging region for each pair of devices and role. That is safe because a device writes the region again only
 * after it has waited for a result that the reader gave after its last read: the residual stream comes back, or a partial sum does.
 */
import {
  assert,
  type BackendTraits,
  type DeviceId,
  type Dim,
  type DType,
  type Encoder,
  InvalidTensorError,
  type ModelSource,
  type PlacedPart,
  type Placement,
  type StepSignal,
  slicedShape,
  type Tensor,
  type TensorSlice,
  UnsupportedOpError,
  type WorkspaceQuery,
} from "@thermocline/spec";
import { kvDTypeOf } from "../kv-cache/kv-dtype.js";
import { type ConstantUse, DraftBuffer, type KvCacheUse, type WeightUse } from "./draft-buffer.js";
import { DraftEncoder } from "./draft-encoder.js";
import type { HostLayout } from "./host-memory.js";
import { largestByteLength, largestDim, type StepLimits } from "./step-limits.js";
import {
  embeddingsRegion,
  type KvStepTensorName,
  kvStepRegion,
  type StepTensorName,
  scoredLogitsRegion,
  stepRegion,
  stepTensorShapes,
} from "./step-tensors.js";

/** The stretch of a device's list in which it runs its part of a split layer. */
export interface SplitLeg {
  readonly layer: number;
  readonly device: DeviceId;
  readonly stretch: number;
}

/** A tensor that changes hands; `role` tells apart those that are under way between the same two devices at once. */
export interface NamedTensor {
  readonly tensor: Tensor;
  readonly role: string;
}

/** What a layer's attention reads and writes. */
export interface LayerKvCache {
  /** [numBlocks, numKvHeads, blockSize, headDimK] */
  readonly keyCache: Tensor;
  /** [numBlocks, numKvHeads, blockSize, headDimV] */
  readonly valueCache: Tensor;
  /** Of the layers that share blocks with this one: [numSequences, maxBlocksPerSequence] and [numTokens]. */
  readonly blockTables: Tensor;
  readonly slotMapping: Tensor;
}

export class GraphDraft {
  readonly weights = new Map<string, WeightUse>();
  readonly constants = new Map<string, ConstantUse>();
  /** Weights that a unit reads and that an earlier unit, which holds them, reads too. */
  readonly reusedWeights = new Map<string, Set<WeightUse>>();
  readonly leftOut = new Set<string>();
  readonly kvCaches: KvCacheUse[] = [];
  readonly activations = new Map<DeviceId, DraftBuffer[]>();
  readonly legs: SplitLeg[] = [];
  /** Units with an op or a dtype that a device has no kernel for, where such are noted and not refused. */
  readonly unsupportedUnits = new Set<string>();
  readonly #encoders = new Map<DeviceId, DraftEncoder>();
  readonly #stepTensorShapes: ReturnType<typeof stepTensorShapes>;
  #numSignals = 0;
  #unit = "";

  constructor(
    readonly devices: ReadonlyMap<DeviceId, BackendTraits>,
    readonly source: Pick<ModelSource, "tensors">,
    readonly placement: Placement,
    readonly limits: StepLimits,
    readonly hostLayout: HostLayout,
    /** What a missing kernel does: end the draft, or put its unit among the unsupported ones. */
    private readonly missingKernels: "refuse" | "note" = "refuse",
  ) {
    this.#stepTensorShapes = stepTensorShapes(limits);
  }

  /** A draft that begins with all of this one and goes on by itself; `limits` hold for what it records then. */
  fork(limits: StepLimits): GraphDraft {
    const fork = new GraphDraft(this.devices, this.source, this.placement, limits, this.hostLayout, this.missingKernels);
    for (const [key, use] of this.weights) fork.weights.set(key, use);
    for (const [key, use] of this.constants) fork.constants.set(key, use);
    for (const [unit, uses] of this.reusedWeights) fork.reusedWeights.set(unit, new Set(uses));
    for (const name of this.leftOut) fork.leftOut.add(name);
    fork.kvCaches.push(...this.kvCaches);
    for (const [device, buffers] of this.activations) fork.activations.set(device, [...buffers]);
    fork.legs.push(...this.legs);
    for (const unit of this.unsupportedUnits) fork.unsupportedUnits.add(unit);
    for (const [device, encoder] of this.#encoders) fork.#encoder(device).append(encoder);
    fork.#numSignals = this.#numSignals;
    return fork;
  }

  get encoders(): ReadonlyMap<DeviceId, DraftEncoder> {
    return this.#encoders;
  }

  /** The parts of a unit; every unit has at least one. */
  partsOf(unit: string): readonly PlacedPart[] {
    const parts = this.placement.get(unit);
    assert(parts !== undefined && parts.length > 0, `unit ${unit} has no place`);
    return parts;
  }

  /** The device of a unit that lies whole on one. */
  deviceOf(unit: string): DeviceId {
    const parts = this.partsOf(unit);
    assert(parts.length === 1, `unit ${unit} cannot be split`);
    return parts[0]!.device;
  }

  /** What is recorded from here on, on any device, is for this unit. */
  beginUnit(unit: string): void {
    this.#unit = unit;
  }

  /** The ops of a device: each call records one command on it. */
  on(device: DeviceId): Encoder {
    return this.#encoder(device);
  }

  activation(device: DeviceId, shape: readonly Dim[], dtype: DType = "f32"): Tensor {
    const known = this.activations.get(device) ?? [];
    this.activations.set(device, known);
    const buffer = new DraftBuffer(device, { kind: "activation", id: known.length }, largestByteLength(dtype, shape, this.limits));
    known.push(buffer);
    return { buffer, byteOffset: 0, dtype, layout: "plain", shape };
  }

  /**
   * A weight of the file, or the slices of it that this device holds.
   * @throws InvalidTensorError where the file has no such tensor, or one of another shape.
   */
  weight(device: DeviceId, unit: string, name: string, shape: readonly number[], slices: readonly TensorSlice[] = []): Tensor {
    const info = this.source.tensors.get(name);
    if (info === undefined) throw new InvalidTensorError(name, `shape [${shape}]`, "none");
    if (info.shape.length !== shape.length || info.shape.some((size, axis) => size !== shape[axis]))
      throw new InvalidTensorError(name, `shape [${shape}]`, `shape [${info.shape}]`);
    // Norms and biases are read as they are; matrices in whatever type the device has a kernel for.
    if (shape.length === 1 && info.dtype !== "f32") throw new InvalidTensorError(name, "f32", info.dtype);
    const traits = this.#traits(device);
    // Three dimensions are a pool of experts.
    const op = shape.length === 3 ? "expertMatmul" : "matmul";
    const isSupported = shape.length <= 1 || traits.supports(op, info.dtype);
    if (!isSupported && this.missingKernels === "note") this.unsupportedUnits.add(unit);
    else if (!isSupported)
      throw new UnsupportedOpError(
        device,
        `${op} of ${name}`,
        info.dtype,
        "use the reference backend, which reads nearly every type, or convert the model",
      );
    const key = slices.length === 0 ? `${device} ${name}` : `${device} ${name} ${JSON.stringify(slices)}`;
    let use = this.weights.get(key);
    if (use === undefined) {
      // Layouts are defined for what a device computes with.
      const packedByteLength = isSupported ? traits.packedByteLength(info, slices) : 0;
      const loadStagingByteLength = isSupported ? traits.loadStagingByteLength(info, slices) : 0;
      use = {
        key,
        device,
        unit,
        name,
        dtype: info.dtype,
        shape: slicedShape(info, slices),
        slices,
        packedByteLength,
        loadStagingByteLength,
      };
      this.weights.set(key, use);
    } else if (use.unit !== unit) {
      this.reusedWeights.set(unit, (this.reusedWeights.get(unit) ?? new Set()).add(use));
    }
    const buffer = new DraftBuffer(device, { kind: "weight", key }, use.packedByteLength);
    return { buffer, byteOffset: 0, dtype: info.dtype, layout: isSupported ? traits.weightLayout(info) : "plain", shape: use.shape };
  }

  /**
   * Values that are known when the graph is drafted, allocated and booked with a unit's weights and written at load. `name` tells apart the
   * constants of a unit on a device; asking again for one gives the same tensor.
   */
  constant(device: DeviceId, unit: string, name: string, shape: readonly number[], values: Float32Array | Int32Array): Tensor {
    assert(values.length === shape.reduce((product, size) => product * size, 1), `constant ${name} has ${values.length} values`);
    const dtype = values instanceof Float32Array ? "f32" : "i32";
    const key = `${device} ${unit} constant ${name}`;
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    if (!this.constants.has(key)) this.constants.set(key, { key, device, unit, dtype, shape, bytes, packedByteLength: bytes.byteLength });
    const buffer = new DraftBuffer(device, { kind: "weight", key }, bytes.byteLength);
    return { buffer, byteOffset: 0, dtype, layout: "plain", shape };
  }

  /** Notes that the graph knows a tensor of the file and does without it. */
  leaveOut(name: string): void {
    this.leftOut.add(name);
  }

  hasTensor(name: string): boolean {
    return this.source.tensors.has(name);
  }

  /** A tensor that the caller fills before a step, or reads after it, as this device sees it. */
  stepTensor(device: DeviceId, name: StepTensorName): Tensor {
    const { dtype, shape } = this.#stepTensorShapes[name];
    return this.#hostTensor(device, stepRegion(name), dtype, shape);
  }

  /** @throws InvalidRequestError where the device has no caches of the dtype that was asked for, or heads are no whole number of its
   *  blocks. */
  kvCache(device: DeviceId, layer: number, numKvHeads: number, headDimK: number, headDimV: number): LayerKvCache {
    const { kvGroups, blockSize } = this.limits;
    const group = kvGroups.findIndex(({ layers }) => layers.includes(layer));
    assert(group >= 0, `layer ${layer} is in no group of KV blocks`);
    const cache = (part: "key" | "value", headDim: number): Tensor => {
      const dtype = this.#kvDType(device, part, headDim);
      const shape = [kvGroups[group]!.numBlocks, numKvHeads, blockSize, headDim];
      const buffer = new DraftBuffer(device, { kind: "kv-cache", layer, part }, largestByteLength(dtype, shape, this.limits));
      return { buffer, byteOffset: 0, dtype, layout: "plain", shape };
    };
    const keyCache = cache("key", headDimK);
    const valueCache = cache("value", headDimV);
    this.kvCaches.push({
      device,
      unit: this.#unit,
      layer,
      numTokens: kvGroups[group]!.numBlocks * blockSize,
      keyByteLength: keyCache.buffer.byteLength,
      valueByteLength: valueCache.buffer.byteLength,
    });
    return { keyCache, valueCache, ...this.#kvStepTensors(device, group) };
  }

  /**
   * Keys and values of texts that a step computes whole: an activation in place of a cache, with the tables of the first group.
   * @throws InvalidRequestError as `kvCache` does.
   */
  stepKvCache(device: DeviceId, numKvHeads: number, headDimK: number, headDimV: number): LayerKvCache {
    const { kvGroups, blockSize } = this.limits;
    const cache = (part: "key" | "value", headDim: number) =>
      this.activation(device, [kvGroups[0]!.numBlocks, numKvHeads, blockSize, headDim], this.#kvDType(device, part, headDim));
    return { keyCache: cache("key", headDimK), valueCache: cache("value", headDimV), ...this.#kvStepTensors(device, 0) };
  }

  #kvStepTensors(device: DeviceId, group: number): Readonly<Record<KvStepTensorName, Tensor>> {
    const stepTensor = (name: KvStepTensorName) => {
      const { dtype, shape } = this.#stepTensorShapes[name];
      return this.#hostTensor(device, kvStepRegion(name, group), dtype, shape);
    };
    return { blockTables: stepTensor("blockTables"), slotMapping: stepTensor("slotMapping") };
  }

  #kvDType(device: DeviceId, part: "key" | "value", headDim: number): DType {
    return kvDTypeOf(device, this.#traits(device), this.limits, part, headDim);
  }

  /** Makes a scoring step's logits [numOutputRows, vocabSize] readable by the caller. */
  giveLogits(logits: Tensor): void {
    this.#give(logits, scoredLogitsRegion);
  }

  /** Makes a step's vectors of texts readable by the caller. */
  giveEmbeddings(vectors: Tensor): void {
    this.#give(vectors, embeddingsRegion);
  }

  #give(x: Tensor, region: string): void {
    this.hostLayout.add(region, largestByteLength(x.dtype, x.shape, this.limits), "staging");
    this.#publish(x, region);
  }

  /** x [rows, K] · weightᵀ (+ bias), with the workspace that the device's kernel asks for. */
  linear(device: DeviceId, x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
    const out = this.activation(device, [x.shape[0]!, weight.shape[0]!]);
    const rows = largestDim(x.shape[0]!, this.limits);
    const workspace = this.#workspace(device, { op: "matmul", dtype: weight.dtype, rows, columns: x.shape[1] as number });
    this.on(device).matmul(out, x, weight, { ...(bias === undefined ? {} : { bias }), ...workspace });
    return out;
  }

  /** x [T, K] or [T, U, K] through the experts expertIds [T, U] of a slot pool [numSlots, N, K]: [T, U, N]. */
  expertLinear(device: DeviceId, x: Tensor, pool: Tensor, expertIds: Tensor, expertSlots: Tensor): Tensor {
    const [numTokens, numUsed] = expertIds.shape as readonly [Dim, number];
    const [, numColumns, columns] = pool.shape as readonly number[];
    const out = this.activation(device, [numTokens, numUsed, numColumns!]);
    const rows = largestDim(numTokens, this.limits) * numUsed;
    const experts = expertSlots.shape[0] as number;
    const workspace = this.#workspace(device, { op: "expertMatmul", dtype: pool.dtype, rows, columns: columns!, experts });
    this.on(device).expertMatmul(out, x, pool, { expertIds, expertSlots, ...workspace });
    return out;
  }

  /** The workspace that a `sample` over `columns` logits asks for, as its option. */
  sampleWorkspace(device: DeviceId, rows: Dim, columns: number): { readonly workspace?: Tensor } {
    return this.#workspace(device, { op: "sample", dtype: "f32", rows: largestDim(rows, this.limits), columns });
  }

  #workspace(device: DeviceId, query: WorkspaceQuery): { readonly workspace?: Tensor } {
    const byteLength = this.#traits(device).workspaceByteLength(query);
    return byteLength === 0 ? {} : { workspace: this.activation(device, [byteLength], "i8") };
  }

  /** Makes x readable on other devices, and returns it as each of them sees it. */
  handOver(x: Tensor, to: readonly DeviceId[], role: string): readonly Tensor[] {
    return this.handOverTogether([{ tensor: x, role }], to).map(([seen]) => seen!);
  }

  /** Hands several tensors of one device over at once, with one signal to each of the others. By device, in the order of `tensors`. */
  handOverTogether(tensors: readonly NamedTensor[], to: readonly DeviceId[]): readonly (readonly Tensor[])[] {
    const from = tensors[0]!.tensor.buffer.device;
    const regions = tensors.map(({ tensor, role }) => {
      const region = `${role} from ${from}`;
      assert(tensor.byteOffset === 0 && tensor.rowStride === undefined, "only whole tensors change hands");
      this.hostLayout.add(region, largestByteLength(tensor.dtype, tensor.shape, this.limits), "transfer");
      this.#publish(tensor, region);
      return region;
    });
    const signals = to.map(() => this.#newSignal());
    for (const signal of signals) this.#encoder(from).signal(signal);
    return to.map((device, index) => {
      this.#encoder(device).wait(signals[index]!);
      return tensors.map(({ tensor: { dtype, shape } }, position) => {
        const shared = this.#hostTensor(device, regions[position]!, dtype, shape);
        if (this.#traits(device).readsHostMemory) return shared;
        const local = this.activation(device, shape, dtype);
        this.on(device).copy(local, shared);
        return local;
      });
    });
  }

  /** x on `device`: itself where it lies there already. */
  moveTo(x: Tensor, device: DeviceId, role: string): Tensor {
    return x.buffer.device === device ? x : this.handOver(x, [device], role)[0]!;
  }

  /** Notes that the commands now recorded on `device` are its part of a split layer. */
  markLeg(layer: number, device: DeviceId): void {
    this.legs.push({ layer, device, stretch: this.#encoder(device).numStretches });
  }

  get numSignals(): number {
    return this.#numSignals;
  }

  #publish(x: Tensor, region: string): void {
    const buffer = x.buffer as DraftBuffer;
    if (!this.#traits(buffer.device).readsHostMemory) {
      this.on(buffer.device).copy(this.#hostTensor(buffer.device, region, x.dtype, x.shape), x);
    } else if (buffer.region.kind === "activation") {
      buffer.region = { kind: "host", region };
    } else {
      assert(buffer.region.kind === "host" && buffer.region.region === region, "a tensor changes hands once");
    }
  }

  #hostTensor(device: DeviceId, region: string, dtype: DType, shape: readonly Dim[]): Tensor {
    const buffer = new DraftBuffer(device, { kind: "host", region }, largestByteLength(dtype, shape, this.limits));
    return { buffer, byteOffset: 0, dtype, layout: "plain", shape };
  }

  #newSignal(): StepSignal {
    return { counters: draftCounters, slot: this.#numSignals++ };
  }

  #traits(device: DeviceId): BackendTraits {
    const traits = this.devices.get(device);
    assert(traits !== undefined, `no device ${device}`);
    return traits;
  }

  #encoder(device: DeviceId): DraftEncoder {
    let encoder = this.#encoders.get(device);
    if (encoder === undefined) {
      const traits = this.#traits(device);
      const supports: BackendTraits["supports"] = (op, dtype) => {
        const isSupported = traits.supports(op, dtype);
        if (!isSupported && this.missingKernels === "note") this.unsupportedUnits.add(this.#unit);
        return isSupported || this.missingKernels === "note";
      };
      encoder = new DraftEncoder(device, supports, () => this.#unit);
      this.#encoders.set(device, encoder);
    }
    return encoder;
  }
}

/** Stands for the counters of the shared memory until the draft is bound. */
const draftCounters = new Int32Array(0);
