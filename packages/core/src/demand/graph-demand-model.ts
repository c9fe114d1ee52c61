/** The demand of a model with a graph: drafts on stand-in tensors, by the code that engines draft with. */
import type {
  DemandDevice,
  DemandModel,
  DemandSettings,
  Intermediate,
  MemoryDemand,
  ModelConfig,
  ModelSource,
  ModelSummary,
  OffloadUnit,
  PlacedBytes,
  Placement,
  ResolvedDemandSettings,
} from "@thermocline/spec";
import { readModelConfig } from "../config/model-config.js";
import { embeddingLimitsOf } from "../embedder-options.js";
import { resolveEngineSettings, stepLimitsOf } from "../engine-options.js";
import { type ReducedModel, reduceModel } from "../graph/layer-classes.js";
import { draftModelGraph, type ModelGraph, memoryRequestsOf } from "../graph/model-graph.js";
import type { StepLimits } from "../graph/step-limits.js";
import { listOffloadUnits } from "../offload-units.js";
import { checkPlacement } from "../placement.js";
import { checkDevices } from "./check-devices.js";
import { demandOfDevices } from "./device-demand.js";
import { listIntermediates } from "./intermediates.js";
import { summarizeModel } from "./model-summary.js";

interface ResolvedLimits {
  readonly settings: ResolvedDemandSettings;
  readonly limits: StepLimits;
}

export class GraphDemandModel implements DemandModel {
  readonly model: ModelSummary;
  readonly #config: ModelConfig;
  readonly #units: readonly OffloadUnit[];
  readonly #reduced: ReducedModel;

  constructor(private readonly source: ModelSource) {
    this.#config = readModelConfig(source);
    this.#reduced = reduceModel(source, this.#config);
    this.#units = listOffloadUnits(source, this.#config, this.#reduced);
    this.model = summarizeModel(source, { numLayers: this.#config.layers.length, contextLength: this.#config.contextLength });
  }

  demandOf(devices: readonly DemandDevice[], settings: DemandSettings): MemoryDemand {
    checkDevices(devices);
    const resolved = this.#resolve(settings);
    return {
      model: this.model,
      settings: resolved.settings,
      estimates: [],
      units: this.#units,
      devices: demandOfDevices({ reduced: this.#reduced, units: this.#units }, devices, resolved.limits),
      handOverBytesPerToken: this.#config.hiddenSize * Float32Array.BYTES_PER_ELEMENT,
    };
  }

  bytesOf(devices: readonly DemandDevice[], settings: DemandSettings, placement: Placement): readonly PlacedBytes[] {
    const graph = this.#draft(devices, settings, placement);
    const contextBytes = new Map(devices.map(({ id, contextBytes = 0 }) => [id, contextBytes]));
    return memoryRequestsOf(graph, this.model.name, contextBytes).map(({ device, class: memoryClass, label, byteLength }) => ({
      device,
      class: memoryClass,
      label,
      byteLength,
    }));
  }

  intermediatesOf(devices: readonly DemandDevice[], settings: DemandSettings, placement: Placement): readonly Intermediate[] {
    return listIntermediates(this.#draft(devices, settings, placement));
  }

  #draft(devices: readonly DemandDevice[], settings: DemandSettings, placement: Placement): ModelGraph {
    checkDevices(devices);
    const { limits } = this.#resolve(settings);
    const traits = new Map(devices.map((device) => [device.id, device.traits]));
    checkPlacement(placement, this.#units, [...traits.keys()]);
    return draftModelGraph(this.source, this.#config, placement, traits, limits);
  }

  #resolve(settings: DemandSettings): ResolvedLimits {
    const config = this.#config;
    if (config.pooling === undefined) return { settings: resolveEngineSettings(settings, config), limits: stepLimitsOf(settings, config) };
    const limits = embeddingLimitsOf(settings, config);
    const { contextLength, maxBatchTokens, maxSequences, kvGroups, blockSize } = limits;
    return { settings: { contextLength, maxBatchTokens, maxSequences, kvCacheTokens: kvGroups[0]!.numBlocks * blockSize }, limits };
  }
}
