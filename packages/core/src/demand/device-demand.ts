/**
 * What a model takes of each device, whatever is placed where. Two drafts show a device in every role that it can have in a placement:
 *
 * - whole: every unit lies on it. No unit's own commands, weights or activations are more than here.
 * - divided: as whole, but every unit with rows gives one block of them to each other device. To what it computes itself come the partial
 *   sums of all others and what gives them the input. A device that holds a part elsewhere than the sum ends does less: it gets the input
 *   once and gives one sum.
 *
 * A hand-over of the residual stream can come before each unit and after it.
 */
import {
  type BackendTraits,
  type BytesByClass,
  type DemandDevice,
  type DeviceDemand,
  type DeviceId,
  type IndexRange,
  type ModelConfig,
  type ModelSource,
  type OffloadUnit,
  type OpName,
  type PlacedPart,
  type Placement,
  packedCommandByteLength,
} from "@thermocline/spec";
import { alignUp, mostLiveBytes, planArena } from "../graph/arena-plan.js";
import type { GraphDraft } from "../graph/graph-draft.js";
import { bytesPerSignal, type HostRegion, paddedByteLength } from "../graph/host-memory.js";
import { ModelDrafter, variantsOf } from "../graph/model-graph.js";
import { nullTraits } from "../graph/null-traits.js";
import { largestByteLength, type StepLimits } from "../graph/step-limits.js";
import { UnitMeter } from "./unit-bytes.js";

export interface DemandedModel {
  readonly source: ModelSource;
  readonly config: ModelConfig;
  readonly units: readonly OffloadUnit[];
}

/** Stands for the other device of a split where the caller has one device alone. */
const standInDevice = "null:0";

export function demandOfDevices(
  model: DemandedModel,
  devices: readonly DemandDevice[],
  limits: StepLimits,
): Readonly<Record<DeviceId, DeviceDemand>> {
  const numOthers = devices.length - 1;
  const drafted = devices.map((device) => {
    const others = numOthers === 0 ? [standInDevice] : devices.flatMap(({ id }) => (id === device.id ? [] : [id]));
    return draftRoles(model, device, others, limits);
  });
  const residualBytes = paddedByteLength(largestByteLength("f32", ["numTokens", model.config.hiddenSize], limits));
  const hostBytes = hostBytesOf(model, drafted, numOthers === 0 ? 0 : devices.length * residualBytes, numOthers);

  return Object.fromEntries(
    drafted.map((roles) => {
      const meter = new UnitMeter(model.source, roles, roles.device);
      const units = model.units.filter(({ id }) => !roles.unsupportedUnits.has(id)).map((unit) => [unit.id, meter.bytesOf(unit)] as const);
      // Where a sum ends on a device that has no part of it, and that needs two others, the norm before it lies there all the same.
      const normBytes =
        numOthers < 2 ? 0 : model.units.reduce((sum, unit) => sum + (unit.kind === "feed-forward" ? meter.undividedBytes(unit) : 0), 0);
      const overheadBytes: BytesByClass = {
        ...(normBytes === 0 ? {} : { weights: normBytes }),
        activations: activationBytes(roles, numOthers),
        ...hostBytes,
        graphs: commandBytes(model, roles, numOthers),
        ...(roles.device.contextBytes ? { context: roles.device.contextBytes } : {}),
      };
      return [roles.device.id, { units: Object.fromEntries(units), overheadBytes }];
    }),
  );
}

interface DeviceRoles {
  readonly device: DemandDevice;
  /** Every variant that an engine runs. */
  readonly wholes: readonly GraphDraft[];
  readonly whole: GraphDraft;
  readonly divided: GraphDraft;
  readonly unsupportedUnits: ReadonlySet<string>;
  readonly hostRegions: ReadonlyMap<string, HostRegion>;
}

function draftRoles(
  { source, config, units }: DemandedModel,
  device: DemandDevice,
  others: readonly DeviceId[],
  limits: StepLimits,
): DeviceRoles {
  const traits = new Map<DeviceId, BackendTraits>([[device.id, device.traits], ...others.map((id) => [id, nullTraits] as const)]);
  const drafter = new ModelDrafter(source, config, traits, limits, "note");
  const whole: Placement = new Map(units.map(({ id }) => [id, [{ device: device.id }]]));
  const divided: Placement = new Map(units.map((unit) => [unit.id, divide(unit, device.id, others)]));
  const wholes = variantsOf(config, limits).map((variant) => drafter.draft(variant, whole));
  return {
    device,
    wholes,
    whole: wholes[0]!,
    divided: drafter.draft("plain", divided),
    unsupportedUnits: wholes[0]!.unsupportedUnits,
    hostRegions: drafter.hostLayout.regions,
  };
}

/** A block of rows to each of the others, as far as they go, and the rest to the device. */
function divide({ rows }: OffloadUnit, device: DeviceId, others: readonly DeviceId[]): readonly PlacedPart[] {
  if (rows === undefined) return [{ device }];
  const { count, blockSize } = rows;
  const given = others.slice(0, count / blockSize - 1);
  if (given.length === 0) return [{ device }];
  const own: IndexRange = [0, count - given.length * blockSize];
  return [
    { device, rows: [own] },
    ...given.map((other, index): PlacedPart => ({ device: other, rows: [[own[1] + index * blockSize, blockSize]] })),
  ];
}

/**
 * Arenas can be larger than what lives at once, by gaps between activations. Those of placements at random were larger by less than a
 * twentieth, and seldom at all; this share is set aside for them.
 */
const gapShare = 1 / 16;

function activationBytes({ device, wholes, divided }: DeviceRoles, numOthers: number): number {
  const { alignment } = device.traits;
  // A single device has one placement, and its arenas are known.
  if (numOthers === 0)
    return Math.max(
      ...wholes.map(({ encoders, activations }) => {
        const { commands } = encoders.get(device.id)!;
        return planArena(commands, activations.get(device.id)?.length ?? 0, alignment).byteLength;
      }),
    );
  const most = [...wholes, divided].map(({ encoders }) => mostLiveBytes(encoders.get(device.id)!.commands, alignment));
  return alignUp(Math.max(...most) * (1 + gapShare), alignment);
}

function commandBytes({ units }: DemandedModel, { device, wholes, whole, divided }: DeviceRoles, numOthers: number): number {
  const bytesOf = (draft: GraphDraft) => byteLengthOfOps(draft.encoders.get(device.id)!.commands.map(({ op }) => op));
  const wholeBytes = wholes.reduce((sum, draft) => sum + bytesOf(draft), 0);
  if (numOthers === 0) return wholeBytes;
  const handOvers = byteLengthOfOps(["wait", "copy", "copy", "signal"]) * units.length;
  return wholeBytes + wholes.length * (bytesOf(divided) - bytesOf(whole) + handOvers);
}

const byteLengthOfOps = (ops: readonly OpName[]) => ops.reduce((sum, op) => sum + packedCommandByteLength(op), 0);

/** The shared host memory, which any one device may carry. */
function hostBytesOf({ units }: DemandedModel, drafted: readonly DeviceRoles[], residualBytes: number, numOthers: number): BytesByClass {
  const regions = new Map(drafted.flatMap(({ hostRegions }) => [...hostRegions]));
  const bytesOf = (wanted: HostRegion["memoryClass"]) =>
    [...regions.values()].reduce(
      (sum, { memoryClass, byteLength }) => sum + (memoryClass === wanted ? paddedByteLength(byteLength) : 0),
      0,
    );
  const staging = bytesOf("staging");
  if (numOthers === 0) return { staging };
  const numSignals = Math.max(...drafted.map(({ divided }) => divided.numSignals)) + units.length;
  return { staging, transfer: bytesOf("transfer") + residualBytes + numSignals * bytesPerSignal };
}
