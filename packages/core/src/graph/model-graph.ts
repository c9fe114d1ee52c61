/**
 * The drafts of a model for a placement, and the memory that they need: everything that is known before a byte is allocated. The drafts
 * share all memory: steps that sample without and with log-probabilities, and steps that give logits.
 */
import {
  type BackendTraits,
  type DeviceId,
  type MemoryRequest,
  type ModelConfig,
  type ModelSource,
  type Placement,
  packedCommandByteLength,
  UnsupportedModelError,
} from "@thermocline/spec";
import { draftHead } from "../layers/head.js";
import { draftPooling } from "../layers/pooling.js";
import { architectures } from "../models/registry.js";
import { type ArenaPlan, alignUp, planArena } from "./arena-plan.js";
import type { ConstantUse, KvCacheUse, WeightUse } from "./draft-buffer.js";
import { GraphDraft } from "./graph-draft.js";
import { HostLayout } from "./host-memory.js";
import { type DeviceLoading, loadStagingByHolder, loadStagingLabel, loadStagingOf } from "./load-staging.js";
import type { StepLimits } from "./step-limits.js";
import { addStepRegions } from "./step-tensors.js";

/** What a step gives: sampled tokens, or the vectors of a model that embeds texts; tokens with log-probabilities; logits of as many rows as
 *  are scored, and no token. */
export type GraphVariant = "plain" | "logprobs" | "logits";

export interface DraftedDevice {
  readonly arenas: ReadonlyMap<GraphVariant, ArenaPlan>;
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

export interface KvCacheBlock extends KvCacheUse {
  /** Where the values begin. */
  readonly valueByteOffset: number;
  readonly byteLength: number;
}

export interface ModelGraph {
  /** The variants that the limits ask for; all read the same weights, constants and KV caches. */
  readonly drafts: ReadonlyMap<GraphVariant, GraphDraft>;
  readonly plain: GraphDraft;
  readonly hostLayout: HostLayout;
  readonly devices: ReadonlyMap<DeviceId, DraftedDevice>;
  /** The device that the shared host memory is booked on, all others only look at it: the first that computes from it, if one does. */
  readonly hostMemoryOwner: DeviceId;
  /** By device, in their order. */
  readonly loading: readonly DeviceLoading[];
  readonly weightBlocks: readonly WeightBlock[];
  readonly kvCacheBlocks: readonly KvCacheBlock[];
}

/** The variants that an engine with these limits runs. */
export function variantsOf({ pooling }: Pick<ModelConfig, "pooling">, { maxScoredTokens }: StepLimits): readonly GraphVariant[] {
  return ["plain", ...(pooling === undefined ? (["logprobs"] as const) : []), ...(maxScoredTokens > 0 ? (["logits"] as const) : [])];
}

/** Drafts variants and placements of a model into one layout of host memory. */
export class ModelDrafter {
  readonly hostLayout = new HostLayout();

  constructor(
    private readonly source: Pick<ModelSource, "tensors">,
    private readonly config: ModelConfig,
    private readonly traits: ReadonlyMap<DeviceId, BackendTraits>,
    private readonly limits: StepLimits,
    private readonly missingKernels: "refuse" | "note" = "refuse",
  ) {
    addStepRegions(this.hostLayout, limits);
  }

  /** The variants have the draft up to their heads in common. */
  draft(variants: readonly GraphVariant[], placement: Placement): ReadonlyMap<GraphVariant, GraphDraft> {
    const { source, config, limits } = this;
    const body = new GraphDraft(this.traits, source, placement, limits, this.hostLayout, this.missingKernels);
    const x = architectures.get(config.architecture)!.draft(body, config);
    return new Map(
      variants.map((variant) => {
        const maxOutputRows = variant === "logits" ? limits.maxScoredTokens : limits.maxOutputRows;
        const graph = body.fork({ ...limits, maxOutputRows });
        if (config.pooling === undefined) draftHead(graph, config, x, { variant });
        else draftPooling(graph, config, x);
        this.hostLayout.addSignals(graph.numSignals);
        return [variant, graph];
      }),
    );
  }
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
  const drafter = new ModelDrafter(source, config, traits, limits);
  const { hostLayout } = drafter;
  const drafts = drafter.draft(variantsOf(config, limits), placement);
  const plain = drafts.get("plain")!;
  refuseUnreadTensors(source, config, plain);

  const devices = new Map<DeviceId, DraftedDevice>();
  for (const device of plain.encoders.keys()) {
    const { alignment } = traits.get(device)!;
    const plan = ({ encoders, activations }: GraphDraft) =>
      planArena(encoders.get(device)!.commands, activations.get(device)?.length ?? 0, alignment);
    const arenas = new Map([...drafts].map(([variant, graph]) => [variant, plan(graph)]));
    devices.set(device, {
      arenas,
      arenaByteLength: Math.max(...[...arenas.values()].map(({ byteLength }) => byteLength)),
      commandByteLength: [...drafts.values()].reduce((sum, graph) => sum + packedByteLength(graph, device), 0),
    });
  }
  const loading = [...devices.keys()].map((device) => {
    const { readsHostMemory } = traits.get(device)!;
    return { device, readsHostMemory, byteLength: loadStagingOf(plain, device) };
  });
  return {
    drafts,
    plain,
    hostLayout,
    devices,
    hostMemoryOwner: (loading.find(({ readsHostMemory }) => readsHostMemory) ?? loading[0]!).device,
    loading,
    weightBlocks: groupWeights(plain, traits),
    kvCacheBlocks: plain.kvCaches.map((use) => kvCacheBlockOf(use, traits.get(use.device)!.alignment)),
  };
}

/** Everything that a model reserves, in one piece: it fits whole or not at all. `contextBytes` are those of devices whose runtime takes some. */
export function memoryRequestsOf(
  graph: ModelGraph,
  owner: string,
  contextBytes: ReadonlyMap<DeviceId, number> = new Map(),
): readonly MemoryRequest[] {
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
  for (const [device, byteLength] of contextBytes) {
    if (byteLength > 0) requests.push({ device, owner, class: "context", byteLength, label: "device runtime" });
  }
  const { hostLayout } = graph;
  for (const [device, byteLength] of loadStagingByHolder(graph.loading, graph.hostMemoryOwner)) {
    if (byteLength > 0) requests.push({ device, owner, class: "staging", byteLength, label: loadStagingLabel });
  }
  for (const [device, drafted] of graph.devices) {
    requests.push({ device, owner, class: "activations", byteLength: drafted.arenaByteLength, label: "arena" });
    requests.push({ device, owner, class: "graphs", byteLength: drafted.commandByteLength, label: "command lists" });
    const isHostOwner = device === graph.hostMemoryOwner;
    const stagingByteLength = isHostOwner ? hostLayout.byteLengthOfClass("staging") : 0;
    requests.push({ device, owner, class: "staging", byteLength: stagingByteLength, label: "step inputs and outputs" });
    const transferByteLength = isHostOwner ? hostLayout.byteLengthOfClass("transfer") : 0;
    if (transferByteLength > 0) requests.push({ device, owner, class: "transfer", byteLength: transferByteLength, label: "hand-overs" });
  }
  return requests;
}

function refuseUnreadTensors(source: ModelSource, config: ModelConfig, draft: GraphDraft): void {
  const read = new Set([...draft.weights.values()].map(({ name }) => name));
  for (const name of source.tensors.keys()) {
    if (!read.has(name) && !draft.leftOut.has(name))
      throw new UnsupportedModelError(config.architecture, name, "the file holds a tensor that this graph does not read");
  }
}

function packedByteLength(draft: GraphDraft, device: DeviceId): number {
  return draft.encoders.get(device)!.commands.reduce((sum, { op }) => sum + packedCommandByteLength(op), 0);
}

/** By device and unit, in the order of the draft. */
export function groupWeights(
  draft: Pick<GraphDraft, "weights" | "constants">,
  traits: ReadonlyMap<DeviceId, BackendTraits>,
): readonly WeightBlock[] {
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

export function kvCacheBlockOf(use: KvCacheUse, alignment: number): KvCacheBlock {
  const valueByteOffset = alignUp(use.keyByteLength, alignment);
  return { ...use, valueByteOffset, byteLength: valueByteOffset + use.valueByteLength };
}
