/**
 * The drafts of a model for a placement, and the memory that they need: everything that is known before a byte is allocated. Two drafts
 * share all memory: with and without the log-probabilities, which most steps do not ask for.
 */
import {
  type BackendTraits,
  type DeviceId,
  type MemoryRequest,
  type ModelConfig,
  type ModelSource,
  type Placement,
  packCommands,
  UnsupportedModelError,
} from "@thermocline/spec";
import { architectures } from "../models/registry.js";
import { type ArenaPlan, alignUp, planArena } from "./arena-plan.js";
import type { ConstantUse, WeightUse } from "./draft-buffer.js";
import type { KvCacheUse } from "./graph-draft.js";
import { GraphDraft } from "./graph-draft.js";
import { HostLayout } from "./host-memory.js";
import type { StepLimits } from "./step-limits.js";
import { addStepRegions } from "./step-tensors.js";

export const graphVariants = ["plain", "logprobs"] as const;
export type GraphVariant = (typeof graphVariants)[number];

export interface DraftedDevice {
  readonly arenas: Readonly<Record<GraphVariant, ArenaPlan>>;
  readonly arenaByteLength: number;
  readonly commandByteLength: number;
}

/** One allocation: the tensors and constants of a unit on a device, at these offsets. */
export interface WeightBlock {
  readonly device: DeviceId;
  readonly unit: string;
  readonly weights: readonly { readonly use: WeightUse | ConstantUse; readonly byteOffset: number }[];
  readonly byteLength: number;
}

export interface KvCacheBlock {
  readonly device: DeviceId;
  readonly layer: number;
  readonly keyByteLength: number;
  readonly byteLength: number;
}

export interface ModelGraph {
  readonly drafts: Readonly<Record<GraphVariant, GraphDraft>>;
  readonly hostLayout: HostLayout;
  readonly devices: ReadonlyMap<DeviceId, DraftedDevice>;
  readonly weightBlocks: readonly WeightBlock[];
  readonly kvCacheBlocks: readonly KvCacheBlock[];
}

/**
 * @throws UnsupportedModelError where the file holds tensors that the graph does not read; InvalidTensorError where one is missing or
 * misshapen; UnsupportedOpError where a device lacks a kernel for its part.
 */
export function draftModelGraph(
  source: ModelSource,
  config: ModelConfig,
  placement: Placement,
  traits: ReadonlyMap<DeviceId, BackendTraits>,
  limits: StepLimits,
): ModelGraph {
  const hostLayout = new HostLayout();
  addStepRegions(hostLayout, limits);
  const draft = (withLogprobs: boolean) => {
    const graph = new GraphDraft(traits, source, placement, limits, hostLayout);
    architectures.get(config.architecture)!.draft(graph, config, { withLogprobs });
    hostLayout.addSignals(graph.numSignals);
    return graph;
  };
  const drafts = { plain: draft(false), logprobs: draft(true) };
  refuseUnreadTensors(source, config, drafts.plain);

  const devices = new Map<DeviceId, DraftedDevice>();
  for (const device of drafts.plain.encoders.keys()) {
    const { alignment } = traits.get(device)!;
    const plan = (variant: GraphVariant) =>
      planArena(drafts[variant].encoders.get(device)!.commands, drafts[variant].activations.get(device)?.length ?? 0, alignment);
    const arenas = { plain: plan("plain"), logprobs: plan("logprobs") };
    devices.set(device, {
      arenas,
      arenaByteLength: Math.max(arenas.plain.byteLength, arenas.logprobs.byteLength),
      commandByteLength: graphVariants.reduce((sum, variant) => sum + packedByteLength(drafts[variant], device), 0),
    });
  }
  return {
    drafts,
    hostLayout,
    devices,
    weightBlocks: groupWeights(drafts.plain, traits),
    kvCacheBlocks: groupKvCaches(drafts.plain.kvCaches),
  };
}

/** Everything that a model reserves, in one piece: it fits whole or not at all. */
export function memoryRequestsOf(graph: ModelGraph, owner: string): readonly MemoryRequest[] {
  const requests: MemoryRequest[] = graph.weightBlocks.map(({ device, unit, byteLength }) => ({
    device,
    owner,
    class: "weights",
    byteLength,
    label: unit,
  }));
  for (const { device, layer, byteLength } of graph.kvCacheBlocks) {
    requests.push({ device, owner, class: "kv-cache", byteLength, label: `layer ${layer}` });
  }
  // The shared host memory is one allocation: the first device carries its bytes, the others only look at it.
  let hostByteLength = Math.max(graph.hostLayout.byteLength, 64);
  for (const [device, drafted] of graph.devices) {
    requests.push({ device, owner, class: "activations", byteLength: drafted.arenaByteLength, label: "arena" });
    requests.push({ device, owner, class: "graphs", byteLength: drafted.commandByteLength, label: "command lists" });
    requests.push({ device, owner, class: "staging", byteLength: hostByteLength, label: "step inputs, outputs and hand-overs" });
    hostByteLength = 0;
  }
  return requests;
}

function refuseUnreadTensors(source: ModelSource, config: ModelConfig, draft: GraphDraft): void {
  const read = new Set([...draft.weights.values()].map(({ name }) => name));
  for (const name of source.tensors.keys()) {
    if (!read.has(name))
      throw new UnsupportedModelError(config.architecture, name, "the file holds a tensor that this graph does not read");
  }
}

function packedByteLength(draft: GraphDraft, device: DeviceId): number {
  const unresolved = { handleOfTensor: () => 0, handleOfSignal: () => 0 };
  const { words, numbers } = packCommands(draft.encoders.get(device)!.commands, unresolved);
  return words.byteLength + numbers.byteLength;
}

function groupWeights(draft: GraphDraft, traits: ReadonlyMap<DeviceId, BackendTraits>): readonly WeightBlock[] {
  const blocks = new Map<
    string,
    { device: DeviceId; unit: string; weights: { use: WeightUse | ConstantUse; byteOffset: number }[]; byteLength: number }
  >();
  for (const use of [...draft.weights.values(), ...draft.constants.values()]) {
    const key = `${use.device} ${use.unit}`;
    const block = blocks.get(key) ?? { device: use.device, unit: use.unit, weights: [], byteLength: 0 };
    blocks.set(key, block);
    block.weights.push({ use, byteOffset: block.byteLength });
    block.byteLength += alignUp(use.packedByteLength, traits.get(use.device)!.alignment);
  }
  return [...blocks.values()];
}

function groupKvCaches(uses: readonly KvCacheUse[]): readonly KvCacheBlock[] {
  const blocks: KvCacheBlock[] = [];
  for (let index = 0; index < uses.length; index += 2) {
    const [key, value] = [uses[index]!, uses[index + 1]!];
    blocks.push({ device: key.device, layer: key.layer, keyByteLength: key.byteLength, byteLength: key.byteLength + value.byteLength });
  }
  return blocks;
}
