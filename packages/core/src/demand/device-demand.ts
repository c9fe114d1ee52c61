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
  type OffloadUnit,
  type PlacedPart,
  type Placement,
  packedCommandByteLength,
} from "@thermocline/spec";
import { alignUp, mostLiveBytes } from "../graph/arena-plan.js";
import type { GraphDraft } from "../graph/graph-draft.js";
import { bytesPerSignal, type HostRegion, paddedByteLength } from "../graph/host-memory.js";
import { type ReducedModel, reduceLimits } from "../graph/layer-classes.js";
import { loadStagingOf, mostLoadStagingOn } from "../graph/load-staging.js";
import { ModelDrafter, variantsOf } from "../graph/model-graph.js";
import { nullTraits } from "../graph/null-traits.js";
import { largestByteLength, type StepLimits } from "../graph/step-limits.js";
import { UnitMeter } from "./unit-bytes.js";

export interface DemandedModel {
  readonly reduced: ReducedModel;
  readonly units: readonly OffloadUnit[];
}

/** Stands for the other device of a split where the caller has one device alone. */
const standInDevice = "null:0";

/**
 * Arenas can be larger than what lives at once, by gaps between activations. Those of placements at random were larger by less than a
 * twentieth, and seldom at all; this share is set aside for them.
 */
const gapShare = 1 / 16;

/** @throws InvalidRequestError where a device has no caches of the dtype that was asked for. */
export function demandOfDevices(
  model: DemandedModel,
  devices: readonly DemandDevice[],
  limits: StepLimits,
): Readonly<Record<DeviceId, DeviceDemand>> {
  const numOthers = devices.length - 1;
  const reducedLimits = reduceLimits(limits, model.reduced);
  const reducedUnits = [...new Map(model.units.map((unit) => [model.reduced.unitOf(unit), unit]))];
  const drafted = devices.map((device) => {
    const others = numOthers === 0 ? [standInDevice] : devices.flatMap(({ id }) => (id === device.id ? [] : [id]));
    return draftRoles(model, reducedUnits, device, others, reducedLimits);
  });
  const { staging, transfer } = hostBytesOf(model, drafted, limits, numOthers);
  const loading = drafted.map(({ device: { id, traits }, whole }) => {
    return { device: id, readsHostMemory: traits.readsHostMemory, byteLength: loadStagingOf(whole, id) };
  });
  return Object.fromEntries(
    drafted.map((roles) => {
      const { id } = roles.device;
      const hostBytes = { staging: staging + mostLoadStagingOn(id, loading), ...(transfer === undefined ? {} : { transfer }) };
      return [id, deviceDemandOf(model, reducedUnits, roles, hostBytes, numOthers)];
    }),
  );
}

type ReducedUnits = readonly (readonly [id: string, unit: OffloadUnit])[];

interface DeviceRoles {
  readonly device: DemandDevice;
  /** Every variant that an engine runs. */
  readonly wholes: readonly GraphDraft[];
  readonly whole: GraphDraft;
  readonly divided: GraphDraft;
  readonly hostRegions: ReadonlyMap<string, HostRegion>;
}

function draftRoles(
  { reduced }: DemandedModel,
  reducedUnits: ReducedUnits,
  device: DemandDevice,
  others: readonly DeviceId[],
  limits: StepLimits,
): DeviceRoles {
  const traits = new Map<DeviceId, BackendTraits>([[device.id, device.traits], ...others.map((id) => [id, nullTraits] as const)]);
  const drafter = new ModelDrafter(reduced.source, reduced.config, traits, limits, "note");
  const place = (partsOf: (unit: OffloadUnit) => readonly PlacedPart[]): Placement =>
    new Map(reducedUnits.map(([id, unit]) => [id, partsOf(unit)]));
  const wholes = [
    ...drafter
      .draft(
        variantsOf(reduced.config, limits),
        place(() => [{ device: device.id }]),
      )
      .values(),
  ];
  const divided = drafter
    .draft(
      ["plain"],
      place((unit) => divide(unit, device.id, others)),
    )
    .get("plain")!;
  return { device, wholes, whole: wholes[0]!, divided, hostRegions: drafter.hostLayout.regions };
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

function deviceDemandOf(
  { reduced, units }: DemandedModel,
  reducedUnits: ReducedUnits,
  roles: DeviceRoles,
  hostBytes: BytesByClass,
  numOthers: number,
): DeviceDemand {
  const { device, wholes, whole, divided } = roles;
  const meter = new UnitMeter(reduced.source, roles, device);
  const isSupported = (id: string) => !whole.unsupportedUnits.has(id);
  const bytes = new Map(reducedUnits.filter(([id]) => isSupported(id)).map(([id, { rows }]) => [id, meter.bytesOf(id, rows)]));
  const listBytes = new Map(reducedUnits.map(([id]) => [id, commandBytes(roles, id, numOthers)]));
  const supported = units.filter((unit) => isSupported(reduced.unitOf(unit)));
  // Where a sum ends on a device that has no part of it, which takes two others, the norm before it lies there all the same.
  const normed = numOthers < 2 ? [] : units.filter(({ kind }) => kind === "feed-forward");
  const normBytes = sum(normed.map((unit) => meter.undividedBytes(reduced.unitOf(unit))));
  const most = [...wholes, divided].map((draft) => mostLiveBytes(draft.encoders.get(device.id)!.commands, device.traits.alignment));
  return {
    units: Object.fromEntries(supported.map((unit) => [unit.id, bytes.get(reduced.unitOf(unit))!])),
    overheadBytes: {
      ...(normBytes === 0 ? {} : { weights: normBytes }),
      activations: alignUp(Math.max(...most) * (1 + gapShare), device.traits.alignment),
      ...hostBytes,
      graphs: sum(units.map((unit) => listBytes.get(reduced.unitOf(unit))!)),
      ...(device.contextBytes ? { context: device.contextBytes } : {}),
    },
  };
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

const handOverOps = ["wait", "copy", "copy", "signal"] as const;

/** Of a unit in the lists of all variants. */
function commandBytes({ device, wholes, whole, divided }: DeviceRoles, unit: string, numOthers: number): number {
  const bytesIn = (draft: GraphDraft) => {
    const { commands, units } = draft.encoders.get(device.id)!;
    return commands.reduce((total, { op }, index) => total + (units[index] === unit ? packedCommandByteLength(op) : 0), 0);
  };
  const wholeBytes = sum(wholes.map(bytesIn));
  if (numOthers === 0) return wholeBytes;
  return wholeBytes + wholes.length * (bytesIn(divided) - bytesIn(whole) + sum(handOverOps.map(packedCommandByteLength)));
}

/** The shared host memory, which any one device may carry. */
function hostBytesOf(
  { reduced, units }: DemandedModel,
  drafted: readonly DeviceRoles[],
  limits: StepLimits,
  numOthers: number,
): { readonly staging: number; readonly transfer?: number } {
  const regions = new Map(drafted.flatMap(({ hostRegions }) => [...hostRegions]));
  const bytesOf = (wanted: HostRegion["memoryClass"]) =>
    sum([...regions.values()].map(({ memoryClass, byteLength }) => (memoryClass === wanted ? paddedByteLength(byteLength) : 0)));
  const staging = bytesOf("staging");
  if (numOthers === 0) return { staging };
  const residualBytes = paddedByteLength(largestByteLength("f32", ["numTokens", reduced.config.hiddenSize], limits));
  // One for each time that the stream moves; the input of a divided unit to each other device, and its partial sum back.
  const numSignals = units.length + units.filter(({ rows }) => rows !== undefined).length * 2 * numOthers;
  return { staging, transfer: bytesOf("transfer") + (numOthers + 1) * residualBytes + numSignals * bytesPerSignal };
}
