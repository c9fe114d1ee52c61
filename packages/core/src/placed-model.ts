/** What engines and embedders share: a model whose units have their places, and its memory on the devices. */
import {
  type Backend,
  type BackendTraits,
  type DeviceId,
  type DeviceMemoryReport,
  InvalidRequestError,
  type MemoryClass,
  type MemoryLedger,
  type ModelConfig,
  type ModelSource,
  type Placement,
} from "@thermocline/spec";
import { draftModelGraph, type ModelGraph } from "./graph/model-graph.js";
import type { StepLimits } from "./graph/step-limits.js";
import { type LoadProgress, ModelMemory } from "./model-memory.js";
import { listOffloadUnits, placeOnOneDevice } from "./offload-units.js";
import { checkPlacement } from "./placement.js";

export interface PlacedModelOptions {
  readonly source: ModelSource;
  /** The first is the default device. They stay the caller's to dispose. */
  readonly backends: readonly Backend[];
  /** Where every unit lies; absent: everything on the first backend. */
  readonly placement?: Placement;
  readonly ledger: MemoryLedger;
  /** Names the model in reservations; default: the model's name in the file. */
  readonly owner?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
}

export interface PlacedModel {
  readonly graph: ModelGraph;
  /** Allocated; the weights are yet to be loaded. */
  readonly memory: ModelMemory;
  readonly backends: ReadonlyMap<DeviceId, Backend>;
}

/**
 * Drafts the graph for the placement, reserves its memory and allocates it.
 * @throws UnsupportedModelError, InvalidTensorError, UnsupportedOpError, InvalidPlanError, InvalidRequestError (no backend),
 * InsufficientMemoryError; nothing stays allocated then.
 */
export function placeModel(options: PlacedModelOptions, config: ModelConfig, limits: StepLimits): PlacedModel {
  const { source, ledger } = options;
  const backends = new Map(options.backends.map((backend) => [backend.device.id, backend]));
  const [defaultBackend] = options.backends;
  if (defaultBackend === undefined) throw new InvalidRequestError("backends", [], "is empty", "give at least one backend");
  const units = listOffloadUnits(source, config);
  const placement = options.placement ?? placeOnOneDevice(units, defaultBackend.device.id);
  checkPlacement(placement, units, [...backends.keys()]);
  const traits = new Map<DeviceId, BackendTraits>([...backends].map(([id, backend]) => [id, backend.traits]));
  const graph = draftModelGraph(source, config, placement, traits, limits);
  const owner = options.owner ?? String(source.metadata.get("general.name") ?? config.architecture);
  return { graph, memory: new ModelMemory(graph, backends, ledger, owner), backends };
}

/** The devices that hold a part of the model. */
export function devicesOf({ graph, backends }: PlacedModel): readonly Backend[] {
  return [...graph.devices.keys()].map((device) => backends.get(device)!);
}

/** Bytes that the model has reserved, by device and class. */
export function reportMemory(memory: ModelMemory, devices: readonly Backend[], ledger: MemoryLedger): readonly DeviceMemoryReport[] {
  return devices.map(({ device }) => {
    const byteLengthByClass: Partial<Record<MemoryClass, number>> = {};
    for (const reservation of memory.reservations) {
      if (reservation.device !== device.id) continue;
      byteLengthByClass[reservation.class] = (byteLengthByClass[reservation.class] ?? 0) + reservation.byteLength;
    }
    return { device: device.id, name: device.name, budgetBytes: ledger.budget(device.id), byteLengthByClass };
  });
}
