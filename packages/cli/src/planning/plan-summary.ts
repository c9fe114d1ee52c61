/** A plan in ten to twenty lines: what it is for, whether it fits, where things lie, how fast it should be, what limits it, what to try next. */
import type { BytesByClass, DeviceId, OffloadPlan } from "@thermocline/spec";
import { formatBytes } from "../format-bytes.js";
import { formatTable } from "../format-table.js";
import { describePlacement } from "./describe-placement.js";

/** `machine`: the ids of its devices, among which a plan names those that hold something. */
export function summarizePlan(plan: OffloadPlan, machine: readonly DeviceId[] = []): string {
  const isExact = (plan.estimates ?? []).length === 0;
  const rows: (readonly [string, string])[] = [
    ["model", describeModel(plan)],
    ["machine", plan.machine?.name ?? Object.keys(plan.devices).join(", ")],
    ...assumedRows(plan),
    ["memory for", describeSettings(plan)],
    ["fits", isExact ? "yes, to the byte" : "yes; bytes are upper bounds, estimated"],
    ...deviceRows(plan),
    ...machine.filter((id) => plan.devices[id] === undefined).map((id) => [id, "holds nothing"] as const),
    ...predictionRows(plan),
    ["limit", limitOf(plan)],
    ...solverRows(plan),
    ...(plan.estimates ?? []).map((sentence) => ["estimated", sentence] as const),
    ["next", nextOf(plan)],
  ];
  return formatTable(rows.flatMap(([label, text]) => wrap(text).map((line, index) => [index === 0 ? label : "", line])));
}

const widestValue = 100;

/** Lines of words, longer only where a single word is. */
function wrap(text: string): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= widestValue) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}

function describeModel({ summary, model }: OffloadPlan): string {
  if (summary === undefined) return model;
  const { name, architecture, quantisation, numLayers, weightBytes } = summary;
  return `${name}, ${architecture}, ${quantisation}, ${numLayers} layers, ${formatBytes(weightBytes)} of weights`;
}

/** Of a machine that only its sizes describe: what its devices are reckoned as. */
function assumedRows({ machine, devices }: OffloadPlan): (readonly [string, string])[] {
  if (machine?.source.startsWith("assumed") !== true) return [];
  const names = Object.entries(devices).map(([id, { name = id }]) => `${id} ${name}`);
  return [["reckoned as", `${names.join("; ")}; --machine names others`]];
}

function describeSettings({ settings = {}, workload }: OffloadPlan): string {
  const { contextLength, maxSequences = 1, maxBatchTokens, keyCacheDType, valueCacheDType } = settings;
  const types =
    keyCacheDType === undefined && valueCacheDType === undefined
      ? []
      : [`keys ${keyCacheDType ?? "as the device has them"}, values ${valueCacheDType ?? "as the device has them"}`];
  const sequences = workload !== undefined && workload.batch !== maxSequences ? `, ${workload.batch} in the workload` : "";
  return [
    `${contextLength} tokens of context`,
    `${maxSequences} ${maxSequences === 1 ? "request" : "requests"} at once${sequences}`,
    `${maxBatchTokens} tokens a step`,
    ...types,
  ].join(", ");
}

const sumOf = (bytes: BytesByClass = {}) => Object.values(bytes).reduce((sum, byteLength) => sum + byteLength, 0);

/** Bytes that may be taken of a device. */
function limitBytes({ budgetBytes, reserveBytes = 0 }: OffloadPlan["devices"][string]): number | undefined {
  return budgetBytes === undefined ? undefined : budgetBytes - reserveBytes;
}

function deviceRows(plan: OffloadPlan): (readonly [string, string])[] {
  const placement = describePlacement(plan);
  return Object.entries(plan.devices).flatMap(([id, device]) => {
    const bytes = plan.bytes?.[id];
    const units = placement.get(id);
    if (units === undefined) return [];
    const limit = limitBytes(device);
    const classes = Object.entries(bytes ?? {}).filter(([, byteLength]) => byteLength > 0);
    const largest = classes.sort((a, b) => b[1] - a[1]).slice(0, 3);
    const detail = largest.map(([memoryClass, byteLength]) => `${memoryClass} ${formatBytes(byteLength)}`).join(", ");
    const of = limit === undefined ? "" : ` of ${formatBytes(limit)} that it may take`;
    return [[id, units] as const, ["", `${formatBytes(sumOf(bytes))}${of}: ${detail}`] as const];
  });
}

/** A model without a cache of keys and values makes vectors of texts, and no token after the first. */
function predictionRows({ predicted, workload, comparison = [], bytes }: OffloadPlan): (readonly [string, string])[] {
  if (predicted === undefined) return [];
  const hasCache = bytes === undefined || Object.values(bytes).some((classes) => (classes["kv-cache"] ?? 0) > 0);
  const { prefillSeconds, secondsPerToken } = predicted;
  if (!hasCache && workload !== undefined)
    return [["predicted", `a text of ${workload.promptTokens} tokens in ${formatSeconds(prefillSeconds)}`]];
  const batch = workload?.batch ?? 1;
  const speed = `${formatRate(batch / secondsPerToken)} tok/s${batch > 1 ? ` for ${batch} requests together` : ""}`;
  const prompt = workload === undefined ? "" : ` of a prompt of ${workload.promptTokens}`;
  const rows: (readonly [string, string])[] = [["predicted", `first token${prompt} after ${formatSeconds(prefillSeconds)}, then ${speed}`]];
  const depths = [...new Set(comparison.map(({ contextDepth }) => contextDepth))].sort((a, b) => a - b);
  const [shallow] = depths;
  const rivals = comparison.filter(({ strategy, contextDepth }) => strategy !== "plan" && contextDepth === shallow);
  if (rivals.length > 0) {
    const own = comparison.find(({ strategy, contextDepth }) => strategy === "plan" && contextDepth === shallow);
    const shown = [...(own === undefined ? [] : [own]), ...rivals];
    const speeds = shown.map(({ strategy, decodeTokensPerSecond }) => `${strategy} ${formatRate(decodeTokensPerSecond)}`);
    rows.push(["decode", `${speeds.join(", ")} tok/s at depth ${shallow}`]);
  }
  return rows;
}

/** "1.5 s", "640 ms", "1.8 ms". */
export function formatSeconds(seconds: number): string {
  if (seconds >= 100) return `${seconds.toFixed(0)} s`;
  if (seconds >= 0.9995) return `${seconds.toFixed(1)} s`;
  return seconds >= 0.0995 ? `${(seconds * 1000).toFixed(0)} ms` : `${(seconds * 1000).toPrecision(2)} ms`;
}

/** Three digits, or all of a whole number. */
export function formatRate(perSecond: number): string {
  return perSecond >= 100 ? perSecond.toFixed(0) : perSecond.toPrecision(3);
}

type PlanUnit = OffloadPlan["units"][number];

const bytesOf = (units: readonly PlanUnit[]) => units.reduce((sum, { byteLength = 0 }) => sum + byteLength, 0);

/** Units that lie on a CPU although a GPU is there, but for the embedding, of which a token reads a single row. */
function spilledUnits({ devices, units }: OffloadPlan): readonly PlanUnit[] {
  const hasGpu = Object.values(devices).some(({ backend }) => backend === "cuda");
  return hasGpu ? units.filter(({ device, id }) => devices[device]?.backend !== "cuda" && id !== "embedding") : [];
}

/** What was asked for, or balance, is told by its reason: the GPU has room all the same. */
function limitOf(plan: OffloadPlan): string {
  const spilled = spilledUnits(plan);
  const used = usedDevices(plan);
  if (spilled.length > 0) {
    const gpus = Object.entries(plan.devices).filter(([, { backend }]) => backend === "cuda");
    const left = gpus.map(([id, device]) => [id, Math.max(0, (limitBytes(device) ?? 0) - sumOf(plan.bytes?.[id]))] as const);
    const hasRoom = left.reduce((sum, [, byteLength]) => sum + byteLength, 0) >= bytesOf(spilled);
    const lies = `${formatBytes(bytesOf(spilled))} lie on the CPU`;
    const rooms = left.map(([id, byteLength]) => `${id} has ${formatBytes(byteLength)} left`).join(", ");
    return hasRoom ? `where units lie, not memory: ${lies}, ${mainReason(spilled)}; ${rooms}` : `the GPU's memory: ${lies}; ${rooms}`;
  }
  const isOnGpus = used.some((device) => plan.devices[device]?.backend === "cuda");
  if (used.length === 1) return `the speed of the device: all of it lies on ${used[0]}`;
  return `the speed of the devices: ${isOnGpus ? "all that every token reads lies on GPUs" : `all of it lies on ${used.join(" and ")}`}`;
}

/** Of most bytes. */
function mainReason(units: readonly PlanUnit[]): string {
  const bytes = new Map<string, number>();
  for (const { reason = "as the plan has it", byteLength = 0 } of units) bytes.set(reason, (bytes.get(reason) ?? 0) + byteLength);
  return [...bytes].sort((a, b) => b[1] - a[1])[0]![0];
}

function usedDevices({ units }: OffloadPlan): readonly DeviceId[] {
  return [...new Set(units.map(({ device }) => device))];
}

function solverRows({ solver }: OffloadPlan): (readonly [string, string])[] {
  if (solver === undefined) return [];
  const { name, status, gap } = solver;
  const percent = Math.max(0.01, Math.ceil(gap * 1e4) / 100);
  return [["solver", `${name}, ${status}: no placement is predicted more than ${percent} % faster`]];
}

function nextOf(plan: OffloadPlan): string {
  const classes = Object.values(plan.bytes ?? {});
  const all = classes.reduce((sum, bytes) => sum + sumOf(bytes), 0);
  const kvCache = classes.reduce((sum, bytes) => sum + (bytes["kv-cache"] ?? 0), 0);
  const more = "--explain shows it by layer";
  const isLongest = plan.settings?.contextLength === plan.summary?.contextLength;
  if (spilledUnits(plan).length === 0) return isLongest ? more : `--context max finds the longest context that fits; ${more}`;
  const smaller = kvCache > all / 8 ? "--kv-type q8_0 halves the KV cache, " : "";
  return `${smaller}--curve shows what more memory would buy; ${more}`;
}
