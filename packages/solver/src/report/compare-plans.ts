/** What two plans say differently, as data. */
import { type DeviceId, type IndexRange, type MemoryClass, memoryClasses, type OffloadPlan, type OffloadPlanUnit } from "@thermocline/spec";

/** A value in the first plan and in the second; absent where a plan does not say. */
export interface Change<T> {
  readonly before?: T;
  readonly after?: T;
}

export interface NamedChange<T> extends Change<T> {
  /** The field: "settings.contextLength", "machine.name", "devices.cuda:0.budgetBytes". */
  readonly name: string;
}

export interface UnitMove {
  readonly id: string;
  /** Of the unit's rows, those that lie on another device: 0 to 1. */
  readonly share: number;
  /** Share of the unit's rows by device, in each plan. */
  readonly before: Readonly<Record<DeviceId, number>>;
  readonly after: Readonly<Record<DeviceId, number>>;
  /** Bytes, as the second plan states them, that arrive at a device. Absent where it states none. */
  readonly byteLength?: number;
}

export interface PlanComparison {
  /** Why the plans are not quite comparable, a sentence each. */
  readonly notes: readonly string[];
  /** In the order of the first plan, then of the second. Units that neither plan names are not among them. */
  readonly moved: readonly UnitMove[];
  /** Where the two differ; the class "all" is the sum. */
  readonly bytes: readonly ({ readonly device: DeviceId; readonly class: MemoryClass | "all" } & Change<number>)[];
  /** Predicted seconds, where either plan predicts. */
  readonly predicted: readonly NamedChange<number>[];
  /** Everything else that differs: settings, workload, machine, solver, devices, model. */
  readonly fields: readonly NamedChange<string | number>[];
}

/** Compares two parsed plans; plans for different models, contexts or machines are compared too, with a note. */
export function comparePlans(before: OffloadPlan, after: OffloadPlan): PlanComparison {
  const sameModel = before.model === after.model;
  const ids = [...new Set([...before.units, ...after.units].map(({ id }) => id))];
  const [unitsBefore, unitsAfter] = [entriesById(before), entriesById(after)];
  // Of one model, a unit that a plan does not name lies on its first device; another model may not have it.
  const common = sameModel ? ids : ids.filter((id) => unitsBefore.has(id) && unitsAfter.has(id));
  const moved = common.flatMap((id) => moveOf(id, entriesOf(id, unitsBefore, before), entriesOf(id, unitsAfter, after)) ?? []);
  return { notes: notesOf(before, after, ids.length - common.length), moved, ...figuresOf(before, after) };
}

function figuresOf(before: OffloadPlan, after: OffloadPlan): Pick<PlanComparison, "bytes" | "predicted" | "fields"> {
  const predicted = (["prefillSeconds", "secondsPerToken", "workloadSeconds"] as const).flatMap((name) => {
    const change = { name, ...changeOf(before.predicted?.[name], after.predicted?.[name]) };
    return change.before === undefined && change.after === undefined ? [] : [change];
  });
  const fieldsOf = ({ summary, settings, workload, machine, solver, devices, model }: OffloadPlan) =>
    leavesOf({ model, summary, settings, workload, machine, solver, devices });
  const [first, second] = [fieldsOf(before), fieldsOf(after)];
  const fields = [...new Set([...first.keys(), ...second.keys()])].flatMap((name) =>
    first.get(name) === second.get(name) ? [] : [{ name, ...changeOf(first.get(name), second.get(name)) }],
  );
  return { bytes: byteChanges(before, after), predicted, fields };
}

function changeOf<T>(before: T | undefined, after: T | undefined): Change<T> {
  return { ...(before !== undefined && { before }), ...(after !== undefined && { after }) };
}

function notesOf(before: OffloadPlan, after: OffloadPlan, numUncommon: number): string[] {
  const notes: string[] = [];
  if (before.model !== after.model) {
    const uncommon = numUncommon > 0 ? `; ${numUncommon} units that only one of them names are left out` : "";
    notes.push(`The plans are for different models${uncommon}.`);
  }
  const differs = (name: "contextLength" | "maxSequences" | "kvCacheTokens") => before.settings?.[name] !== after.settings?.[name];
  if (differs("contextLength") || differs("maxSequences") || differs("kvCacheTokens"))
    notes.push("The plans hold caches of different sizes, so their bytes differ also where nothing moved.");
  const speeds = ["machine", "workload"] as const;
  const different = speeds.filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]));
  if (different.length > 0) notes.push(`Speeds were predicted for different ${different.map((name) => `${name}s`).join(" and ")}.`);
  return notes;
}

type Entries = ReadonlyMap<string, readonly OffloadPlanUnit[]>;

function entriesById(plan: OffloadPlan): Entries {
  const entries = new Map<string, OffloadPlanUnit[]>();
  for (const entry of plan.units) entries.set(entry.id, [...(entries.get(entry.id) ?? []), entry]);
  return entries;
}

function entriesOf(id: string, entries: Entries, { devices }: OffloadPlan): readonly OffloadPlanUnit[] {
  return entries.get(id) ?? [{ id, device: Object.keys(devices)[0]! }];
}

function moveOf(id: string, before: readonly OffloadPlanUnit[], after: readonly OffloadPlanUnit[]): UnitMove | undefined {
  // A unit that neither plan splits counts as one row.
  const count = Math.max(1, endOf(before), endOf(after));
  const [from, to] = [ownersOf(before, count), ownersOf(after, count)];
  let movedRows = 0;
  for (const old of from)
    for (const now of to)
      if (old.device !== now.device) movedRows += Math.max(0, Math.min(old.end, now.end) - Math.max(old.first, now.first));
  if (movedRows === 0) return undefined;
  const share = movedRows / count;
  const known = after.every(({ byteLength }) => byteLength !== undefined);
  const byteLength = Math.round(share * after.reduce((sum, entry) => sum + (entry.byteLength ?? 0), 0));
  return { id, share, before: sharesOf(from, count), after: sharesOf(to, count), ...(known && { byteLength }) };
}

const endOf = (entries: readonly OffloadPlanUnit[]) =>
  Math.max(0, ...entries.flatMap(({ rows = [] }) => rows.map(([first, count]: IndexRange) => first + count)));

interface OwnedRows {
  readonly device: DeviceId;
  readonly first: number;
  readonly end: number;
}

function ownersOf(entries: readonly OffloadPlanUnit[], count: number): readonly OwnedRows[] {
  return entries.flatMap(({ device, rows = [[0, count]] }) => rows.map(([first, length]) => ({ device, first, end: first + length })));
}

function sharesOf(owners: readonly OwnedRows[], count: number): Readonly<Record<DeviceId, number>> {
  const shares: Record<DeviceId, number> = {};
  for (const { device, first, end } of owners) shares[device] = (shares[device] ?? 0) + (end - first) / count;
  return shares;
}

function byteChanges(before: OffloadPlan, after: OffloadPlan): PlanComparison["bytes"] {
  const devices = [...new Set([...Object.keys(before.bytes ?? {}), ...Object.keys(after.bytes ?? {})])];
  return devices.flatMap((device) => {
    const [first, second] = [before.bytes?.[device], after.bytes?.[device]];
    const sum = (classes: typeof first) => (classes === undefined ? undefined : Object.values(classes).reduce((a, b) => a + b, 0));
    const rows = memoryClasses.map((name) => ({ device, class: name as MemoryClass | "all", ...changeOf(first?.[name], second?.[name]) }));
    const all = { device, class: "all" as const, ...changeOf(sum(first), sum(second)) };
    return [...rows, all].filter((row) => (row.before ?? 0) !== (row.after ?? 0));
  });
}

/** Every text and number below a value, by its path. */
function leavesOf(value: unknown, path = ""): Map<string, string | number> {
  if (typeof value === "string" || typeof value === "number") return new Map([[path, value]]);
  const entries = Object.entries((value ?? {}) as object);
  return new Map(entries.flatMap(([name, item]) => [...leavesOf(item, path === "" ? name : `${path}.${name}`)]));
}
