import { type BytesByClass, type DType, dtypes, type MemoryClass, type OffloadPlan } from "@thermocline/spec";

const classNames: Readonly<Record<MemoryClass, string>> = {
  weights: "weights",
  "mapped-file": "mapped weights",
  "kv-cache": "KV cache",
  activations: "activations",
  staging: "staging",
  transfer: "hand-overs",
  graphs: "recorded commands",
  context: "the devices' runtimes",
  reserve: "reserve",
};

/**
 * Why memory use is as high as it is: what most of it is, where that comes from, and what would lower it. Empty for a plan that states no
 * bytes.
 */
export function explainMemory(plan: OffloadPlan): string {
  const classes = totalsOf(Object.values(plan.bytes ?? {}));
  const totalBytes = [...classes.values()].reduce((sum, bytes) => sum + bytes, 0);
  if (totalBytes === 0) return "";
  const [[largest, largestBytes], ...others] = [...classes].sort((a, b) => b[1] - a[1]) as [
    [MemoryClass, number],
    ...[MemoryClass, number][],
  ];
  const share = `${formatBytes(largestBytes)} of it (${Math.round((largestBytes / totalBytes) * 100)} %) is ${classNames[largest]}`;
  const yet = largest === "weights" || largest === "mapped-file" ? "" : "yet ";
  const cause = causeOf(plan, largest, largestBytes);
  const rest = others.slice(0, 3).map(([name, bytes]) => `${formatBytes(bytes)} ${classNames[name]}`);
  const remainder = rest.length === 0 ? "" : ` Beside it: ${rest.join(", ")}.`;
  return `${describeWeights(plan)}${yet}${formatBytes(totalBytes)}: ${share}${cause}.${remainder}`;
}

function totalsOf(devices: readonly BytesByClass[]): Map<MemoryClass, number> {
  const totals = new Map<MemoryClass, number>();
  for (const classes of devices)
    for (const [name, bytes] of Object.entries(classes) as [MemoryClass, number][])
      if (name !== "reserve" && bytes > 0) totals.set(name, (totals.get(name) ?? 0) + bytes);
  return totals;
}

function describeWeights({ summary }: OffloadPlan): string {
  if (summary === undefined) return "";
  const type = dtypes[summary.quantisation.toLowerCase() as DType];
  return type === undefined ? `${summary.quantisation} weights, ` : `${formatNumber((8 * type.blockBytes) / type.blockSize)}-bit weights, `;
}

function causeOf({ settings, units, summary, devices }: OffloadPlan, largest: MemoryClass, bytes: number): string {
  switch (largest) {
    case "kv-cache": {
      const {
        contextLength = 0,
        maxSequences = 1,
        kvCacheTokens = contextLength * maxSequences,
        keyCacheDType,
        valueCacheDType,
      } = settings ?? {};
      if (kvCacheTokens === 0) return "";
      const numLayers = units.filter(({ kvCacheByteLength = 0 }) => kvCacheByteLength > 0).length;
      const types = [...new Set([keyCacheDType, valueCacheDType])].filter((dtype) => dtype !== undefined).join(" and ");
      const kept =
        kvCacheTokens === contextLength * maxSequences && maxSequences > 1 ? ` (${maxSequences} sequences of ${group(contextLength)})` : "";
      const where = numLayers === 0 ? "" : ` over ${numLayers} ${numLayers === 1 ? "layer" : "layers"}`;
      return ` because ${group(kvCacheTokens)} tokens${kept} × ${formatBytes(bytes / kvCacheTokens)} a token${where}${types && `, as ${types}`}; a shorter context or a smaller KV type lowers it`;
    }
    case "weights":
    case "mapped-file": {
      if (summary === undefined) return "";
      const isTwice = Object.keys(devices).length > 1 && bytes > summary.weightBytes * 1.02;
      const twice = isTwice ? " and some lie on two devices" : "";
      return ` because the file has ${formatBytes(summary.weightBytes)} of them${twice}; a smaller quantisation lowers it`;
    }
    case "activations":
    case "staging":
    case "transfer":
      return settings?.maxBatchTokens === undefined
        ? ""
        : ` because ${group(settings.maxBatchTokens)} tokens go through in a step; a smaller maxBatchTokens lowers it`;
    default:
      return "";
  }
}

const group = (count: number) => count.toLocaleString("en-US");
const formatNumber = (value: number) => (Number.isInteger(value) ? `${value}` : value.toFixed(1));

function formatBytes(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${formatNumber(Math.round((bytes / 1024 ** power) * 10) / 10)} ${units[power]}`;
}
