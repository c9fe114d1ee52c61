/** What a plan says of every unit of one model, and whether it can be carried out. Shares no code with what makes plans. */
import {
  type DeviceId,
  type IndexRange,
  InvalidPlanError,
  type OffloadPlan,
  type OffloadPlanUnit,
  type OffloadUnit,
  type PlacedPart,
  type Placement,
} from "@thermocline/spec";
import { checkAccount } from "./check-account.js";
import { parsePlan } from "./parse-plan.js";

/** What a plan is checked against. */
export interface PlanTarget {
  /** `ModelSource.identity`. */
  readonly model: string;
  readonly units: readonly OffloadUnit[];
  /** The devices that are there. Absent: every device that the plan declares. */
  readonly devices?: readonly DeviceId[];
  /** Longest context that the model was trained for. Absent: what the plan's summary says. */
  readonly contextLength?: number;
}

/**
 * Applies the defaults: a unit that no entry names lies on the plan's first device, an entry without rows is the whole unit.
 * In the result every unit has at least one part, in the order of the plan's devices, and every row lies in exactly one; ranges are
 * ascending, disjoint and do not touch; a part that is all of its unit has no `rows`. Units come in the target's order.
 * @throws InvalidPlanError for everything that `validatePlan` refuses.
 */
export function resolvePlan(plan: OffloadPlan, target: PlanTarget): Placement {
  parsePlan(plan);
  checkModel(plan, target);
  const deviceIds = checkDevices(plan, target);
  const entriesOfUnit = groupEntries(plan, target, deviceIds);
  const placement = new Map(target.units.map((unit) => [unit.id, partsOf(unit, entriesOfUnit.get(unit.id) ?? [], deviceIds)]));
  checkAccount(plan, target.units, target.contextLength);
  return placement;
}

/**
 * Checks a plan against a model and devices: version and structure, the model's identity, units and devices that exist, rows that are
 * ascending, in range, cut at whole quantisation blocks, and placed exactly once, budgets that hold the bytes that are stated, and
 * settings that the model allows.
 * @throws InvalidPlanError naming the unit, device or field, with what to change.
 */
export function validatePlan(plan: OffloadPlan, target: PlanTarget): void {
  resolvePlan(plan, target);
}

function checkModel(plan: OffloadPlan, target: PlanTarget): void {
  if (plan.model !== target.model)
    throw new InvalidPlanError(
      "model",
      `is ${plan.model}, the file is ${target.model}`,
      "open the model that the plan was made for, or make a new plan",
    );
}

function checkDevices(plan: OffloadPlan, target: PlanTarget): readonly DeviceId[] {
  const declared = Object.keys(plan.devices);
  for (const device of declared) {
    if (target.devices !== undefined && !target.devices.includes(device))
      throw new InvalidPlanError(
        `device ${device}`,
        "is not there",
        `there are: ${target.devices.join(", ") || "none"}; rename it or make a new plan`,
      );
  }
  for (const device of Object.keys(plan.bytes ?? {})) {
    if (!declared.includes(device))
      throw new InvalidPlanError(`bytes["${device}"]`, "names a device that the plan does not declare", declareCure(declared));
  }
  return declared;
}

function declareCure(declared: readonly DeviceId[]): string {
  return `declare it under "devices", or use one of ${declared.join(", ")}`;
}

function groupEntries(plan: OffloadPlan, target: PlanTarget, deviceIds: readonly DeviceId[]): Map<string, OffloadPlanUnit[]> {
  const known = new Set(target.units.map((unit) => unit.id));
  const groups = new Map<string, OffloadPlanUnit[]>();
  for (const entry of plan.units) {
    if (!known.has(entry.id)) {
      const examples = [...known].slice(0, 4).join(", ");
      throw new InvalidPlanError(
        `unit ${entry.id}`,
        "is no unit of this model",
        `remove the entry or correct its id; the model has ${known.size} units: ${examples}, …`,
      );
    }
    if (!deviceIds.includes(entry.device))
      throw new InvalidPlanError(`unit ${entry.id}`, `lies on ${entry.device}, which the plan does not declare`, declareCure(deviceIds));
    const group = groups.get(entry.id);
    if (group === undefined) groups.set(entry.id, [entry]);
    else group.push(entry);
  }
  return groups;
}

function partsOf(unit: OffloadUnit, entries: readonly OffloadPlanUnit[], deviceIds: readonly DeviceId[]): readonly PlacedPart[] {
  if (entries.length === 0) return [{ device: deviceIds[0]! }];
  if (unit.rows === undefined) return [wholeUnitPart(unit, entries)];
  for (const entry of entries) if (entry.rows !== undefined) checkRanges(unit, unit.rows, entry);
  checkCover(unit, unit.rows.count, entries);
  const parts = deviceIds.flatMap((device): PlacedPart[] => {
    const own = entries.filter((entry) => entry.device === device);
    return own.length === 0 ? [] : [{ device, rows: joinTouching(own.flatMap(({ rows }) => rows ?? [])) }];
  });
  return parts.length === 1 ? [{ device: parts[0]!.device }] : parts;
}

function wholeUnitPart(unit: OffloadUnit, entries: readonly OffloadPlanUnit[]): PlacedPart {
  const [entry] = entries as readonly [OffloadPlanUnit];
  const split = entries.find((candidate) => candidate.rows !== undefined);
  if (split !== undefined)
    throw new InvalidPlanError(
      `unit ${unit.id}`,
      `has rows on ${split.device}, but cannot be split`,
      'remove "rows": the unit lies whole on one device',
    );
  if (entries.length > 1)
    throw new InvalidPlanError(
      `unit ${unit.id}`,
      `is placed ${entries.length} times (${entries.map(({ device }) => device).join(", ")})`,
      "keep one entry",
    );
  return { device: entry.device };
}

function checkRanges(unit: OffloadUnit, { count, blockSize }: NonNullable<OffloadUnit["rows"]>, entry: OffloadPlanUnit): void {
  const subject = `unit ${unit.id}`;
  let previousEnd = 0;
  for (const [first, length] of entry.rows!) {
    const end = first + length;
    const range = `rows ${first} to ${end - 1} on ${entry.device}`;
    if (end > count) throw new InvalidPlanError(subject, `has ${range}, past its ${count} rows`, `end at row ${count - 1}`);
    if (first < previousEnd)
      throw new InvalidPlanError(
        subject,
        `has ${range}, which begin before row ${previousEnd}, the end of the range before`,
        "sort the ranges and take overlaps away",
      );
    // The last block may be short where the number of rows is no multiple of it.
    const cut = first % blockSize !== 0 ? first : end % blockSize !== 0 && end !== count ? end : undefined;
    if (cut !== undefined)
      throw new InvalidPlanError(
        subject,
        `is cut at row ${cut} (${range}), inside a quantisation block`,
        `cut at a multiple of ${blockSize}`,
      );
    previousEnd = end;
  }
}

function checkCover(unit: OffloadUnit, count: number, entries: readonly OffloadPlanUnit[]): void {
  const subject = `unit ${unit.id}`;
  const placed = entries
    .flatMap(({ device, rows = [[0, count] as const] }) => rows.map(([first, length]) => ({ device, first, end: first + length })))
    .sort((a, b) => a.first - b.first);
  let previous = { device: "", first: 0, end: 0 };
  for (const range of placed) {
    if (range.first < previous.end) {
      const rows = `${range.first} to ${Math.min(range.end, previous.end) - 1}`;
      throw new InvalidPlanError(
        subject,
        `has rows ${rows} twice, on ${previous.device} and on ${range.device}`,
        "give each row to one device",
      );
    }
    refuseGap(subject, previous.end, range.first);
    previous = range;
  }
  refuseGap(subject, previous.end, count);
}

function refuseGap(subject: string, first: number, end: number): void {
  if (first < end)
    throw new InvalidPlanError(
      subject,
      `lacks rows ${first} to ${end - 1}`,
      "give them to a device; a unit that is named must be placed completely",
    );
}

function joinTouching(ranges: readonly IndexRange[]): readonly IndexRange[] {
  const joined: [number, number][] = [];
  for (const [first, count] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = joined.at(-1);
    if (last !== undefined && last[0] + last[1] === first) last[1] += count;
    else joined.push([first, count]);
  }
  return joined;
}
