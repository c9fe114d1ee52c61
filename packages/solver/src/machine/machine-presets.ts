/** Machines that nobody here has at hand: put together from what makers and standards publish. */
import { type DeviceId, InvalidRequestError, type MachineDevice, type MachineLink, type MachineProfile } from "@thermocline/spec";
import { type GpuName, type PublishedGpu, publishedGpus } from "./published-gpus.js";
import {
  type LinkName,
  type MemoryName,
  type PublishedLink,
  type PublishedMemory,
  publishedLinks,
  publishedMemories,
} from "./published-memories.js";
import { cpuRates, genericProcessor, gpuRates, type PublishedProcessor } from "./published-rates.js";

/** The parts that a preset's text may name, by their names. */
export const machinePresets: {
  readonly gpus: Readonly<Record<GpuName, PublishedGpu>>;
  readonly memories: Readonly<Record<MemoryName, PublishedMemory>>;
  readonly links: Readonly<Record<LinkName, PublishedLink>>;
} = { gpus: publishedGpus, memories: publishedMemories, links: publishedLinks };

/** A driver and its context keep this much of a GPU's memory; between 200 and 600 MiB by generation and driver. */
const assumedContextBytes = 512 * 2 ** 20;
/** A signal through pinned host memory that the other device polls: two trips over PCI Express and a launch. */
const assumedLatencySeconds = 10e-6;
/** Copies from and to pinned memory reach about this share of the link. */
const linkShare = 0.8;
const defaultRamBytes = 32 * 2 ** 30;
const defaultMemory: MemoryName = "ddr4-3200";

export interface MachineSizes {
  /** Of each GPU; default: as published. */
  readonly vramBytes?: number;
  /** Default: 32 GiB. */
  readonly ramBytes?: number;
}

/**
 * A machine from the names of its parts, joined by "+" in any order: GPUs ("rtx4090", "2xrtx3090"), at most one memory ("ddr5-6000"), one
 * link ("pcie4") and one size of main memory ("64GiB").
 * @throws InvalidRequestError for an unknown part, naming those that are known, for a part that is there twice, and for sizes that are no
 * positive whole numbers of bytes.
 */
export function machineFromPreset(text: string, sizes: MachineSizes = {}): MachineProfile {
  const gpus: PublishedGpu[] = [];
  const chosen: { memory?: PublishedMemory; link?: PublishedLink; ramBytes?: number } = {};
  const chooseOnce = <Key extends keyof typeof chosen>(key: Key, part: string, value: (typeof chosen)[Key]) => {
    if (chosen[key] !== undefined) throw presetError(text, `names a second ${key === "ramBytes" ? "size of memory" : key}, "${part}"`);
    chosen[key] = value;
  };
  const parts = text.toLowerCase().replaceAll(" ", "").split("+");
  for (const part of parts) {
    const [, repeated, gpuName = part] = /^(?:([1-9]|1[0-6])x)?(.+)$/.exec(part) ?? [];
    const gpu = lookUp(publishedGpus, gpuName);
    const memory = lookUp(publishedMemories, part);
    const link = lookUp(publishedLinks, part);
    const gibibytes = /^([0-9]+(?:\.[0-9]+)?)gib$/.exec(part)?.[1];
    if (gpu !== undefined) gpus.push(...Array<PublishedGpu>(Number(repeated ?? 1)).fill(gpu));
    else if (memory !== undefined) chooseOnce("memory", part, memory);
    else if (link !== undefined) chooseOnce("link", part, link);
    else if (gibibytes !== undefined) chooseOnce("ramBytes", part, Math.round(Number(gibibytes) * 2 ** 30));
    else throw presetError(text, `names "${part}", which is no known part`);
  }
  const { memory, link, ramBytes } = chosen;
  return assemble(
    parts.join("+"),
    gpus.map((gpu) => withMemory(gpu, sizes.vramBytes)),
    memory,
    link,
    sizes.ramBytes ?? ramBytes,
  );
}

/**
 * A machine of which only the sizes are known. Each GPU is reckoned as the slowest published one that has so much memory; the profile's
 * `assumptions` say as which.
 * @throws InvalidRequestError for sizes that are no whole numbers of bytes, or are 0 where a machine cannot do without.
 */
export function hypotheticalMachine({
  vramBytes,
  ramBytes,
}: {
  /** Of the GPU, or of each of several; 0: there is none. */
  readonly vramBytes: number | readonly number[];
  readonly ramBytes: number;
}): MachineProfile {
  const sizes = (typeof vramBytes === "number" ? [vramBytes] : vramBytes).filter((bytes) => bytes !== 0);
  const gpus = sizes.map((bytes) => withMemory(standInFor(bytes), bytes));
  const gib = (bytes: number) => `${Number((bytes / 2 ** 30).toFixed(1))} GiB`;
  const name = [...sizes.map((bytes) => `GPU with ${gib(bytes)}`), `${gib(ramBytes)} of memory`].join(", ");
  const profile = assemble(name, gpus, undefined, undefined, ramBytes);
  const standIns = gpus.map((gpu, index) => `cuda:${index} is reckoned to be as fast as a ${gpu.name}.`);
  return {
    ...profile,
    source: `assumed from sizes alone; ${profile.source}`,
    assumptions: [...standIns, ...profile.assumptions!],
  };
}

/** What is known of a machine that was not calibrated. */
export interface KnownMachine {
  readonly name: string;
  readonly processor: PublishedProcessor;
  readonly memoryBytes: number;
  /** Default: that of DDR4-3200 in two channels. */
  readonly memoryBytesPerSecond?: number;
  readonly gpus?: readonly { readonly name: string; readonly memoryBytes: number }[];
}

/**
 * A profile of shares of roofs that are known: for a machine whose processor, memory and GPUs' names are. A GPU that is not published here is
 * reckoned as `hypotheticalMachine` reckons it.
 * @throws InvalidRequestError for sizes that are no positive whole numbers of bytes.
 */
export function estimateMachine({ name, processor, memoryBytes, memoryBytesPerSecond, gpus = [] }: KnownMachine): MachineProfile {
  const reckoned = gpus.map((gpu) => ({ ...(publishedByName(gpu) ?? standInFor(gpu.memoryBytes)), memoryBytes: gpu.memoryBytes }));
  const assumed = publishedMemories[defaultMemory];
  // Already what a streaming read reaches.
  const memory: PublishedMemory | undefined =
    memoryBytesPerSecond === undefined
      ? undefined
      : { name: `${(memoryBytesPerSecond / 1e9).toFixed(1)} GB/s`, memoryBytesPerSecond, isServer: assumed.isServer, source: "measured" };
  const profile = assemble(name, reckoned, memory, undefined, memoryBytes, processor);
  const devices = profile.devices.map((device, index) => (device.kind === "gpu" ? { ...device, name: gpus[index]!.name } : device));
  const standIns = reckoned.flatMap((gpu, index) =>
    publishedByName(gpus[index]!) === undefined ? [`cuda:${index} is reckoned to be as fast as a ${gpu.name}.`] : [],
  );
  return {
    ...profile,
    source: profile.source === "measured" ? "estimated from its memory's measured speed" : `estimated; ${profile.source}`,
    devices,
    assumptions: [...standIns, ...profile.assumptions!],
  };
}

/** Drivers put the maker before the name, and sometimes the memory or the form behind it. */
function publishedByName({ name, memoryBytes }: { readonly name: string; readonly memoryBytes: number }): PublishedGpu | undefined {
  const plain = (text: string) => text.toLowerCase().replaceAll(/nvidia |tesla |[- ](sxm|pcie).*| [0-9]+ ?gb.*/g, "");
  const offBy = (gpu: PublishedGpu) => Math.abs(gpu.memoryBytes - memoryBytes);
  const sameName = Object.values<PublishedGpu>(publishedGpus).filter((gpu) => plain(gpu.name) === plain(name));
  return sameName.sort((a, b) => offBy(a) - offBy(b))[0];
}

function standInFor(memoryBytes: number): PublishedGpu {
  checkBytes("vramBytes", memoryBytes);
  const all = Object.values<PublishedGpu>(publishedGpus).sort((a, b) => a.memoryBytesPerSecond - b.memoryBytesPerSecond);
  const largest = Math.max(...all.map((gpu) => gpu.memoryBytes));
  return all.find((gpu) => gpu.memoryBytes >= Math.min(memoryBytes, largest))!;
}

function withMemory(gpu: PublishedGpu, memoryBytes: number | undefined): PublishedGpu {
  if (memoryBytes === undefined) return gpu;
  checkBytes("vramBytes", memoryBytes);
  return { ...gpu, memoryBytes };
}

function assemble(
  name: string,
  gpus: readonly PublishedGpu[],
  chosenMemory: PublishedMemory | undefined,
  chosenLink: PublishedLink | undefined,
  ramBytes = defaultRamBytes,
  knownProcessor?: PublishedProcessor,
): MachineProfile {
  checkBytes("ramBytes", ramBytes);
  const memory = chosenMemory ?? publishedMemories[defaultMemory];
  const processor = knownProcessor ?? genericProcessor(memory);
  const cpu: MachineDevice = {
    id: "cpu:0",
    kind: "cpu",
    backend: "cpu",
    threads: processor.cores,
    name: `CPU, ${processor.name}, ${memory.name}`,
    memoryBytes: ramBytes,
    memoryBytesPerSecond: memory.memoryBytesPerSecond,
    contextBytes: 0,
    rates: cpuRates(memory, processor),
  };
  const devices = gpus.map((gpu, index): MachineDevice => {
    const { name: gpuName, memoryBytes, memoryBytesPerSecond } = gpu;
    const contextBytes = Math.min(assumedContextBytes, memoryBytes);
    const shown = { name: gpuName, memoryBytes, memoryBytesPerSecond, contextBytes };
    return { id: `cuda:${index}`, kind: "gpu", backend: "cuda", ...shown, rates: gpuRates(gpu) };
  });
  const linkOf = ({ pcieGeneration }: PublishedGpu) => chosenLink ?? publishedLinks[`pcie${pcieGeneration}`];
  const linkRateOf = (gpu: PublishedGpu) => linkShare * linkOf(gpu).bytesPerSecond * (gpu.pcieLanes / 16);
  const rates = new Map<DeviceId, number>(devices.map(({ id }, index) => [id, linkRateOf(gpus[index]!)]));
  const ids = [...devices.map(({ id }) => id), cpu.id];
  const sources = [...gpus.flatMap((gpu) => [gpu.source, linkOf(gpu).source]), memory.source];
  return {
    version: 1,
    name,
    source: [...new Set(sources)].join(" "),
    // Fastest first, as plans list devices.
    devices: [...devices, cpu],
    links: ids.flatMap((from) => ids.filter((to) => to !== from).map((to) => linkBetween(from, to, rates))),
    assumptions: [
      ...(knownProcessor === undefined ? [`The processor is reckoned as ${processor.name}.`] : []),
      ...(chosenMemory === undefined ? [`Main memory is reckoned as ${memory.name}, ${memory.memoryBytesPerSecond / 1e9} GB/s.`] : []),
      "Kernels are reckoned to reach the shares of the published rates that engines were measured to reach.",
      ...(gpus.length === 0
        ? []
        : [
            `Each GPU's runtime is reckoned to take ${assumedContextBytes / 2 ** 20} MiB, and a hand-over ${assumedLatencySeconds * 1e6} µs.`,
          ]),
    ],
  };
}

/** Two GPUs meet in host memory: bytes go over the link twice. */
function linkBetween(from: DeviceId, to: DeviceId, rates: ReadonlyMap<DeviceId, number>): MachineLink {
  const secondsPerByte = [from, to].reduce((sum, id) => sum + (rates.has(id) ? 1 / rates.get(id)! : 0), 0);
  return { from, to, bytesPerSecond: 1 / secondsPerByte, latencySeconds: assumedLatencySeconds };
}

function lookUp<Entry>(table: Readonly<Record<string, Entry>>, name: string): Entry | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

function checkBytes(parameter: string, bytes: number): void {
  if (Number.isSafeInteger(bytes) && bytes > 0) return;
  throw new InvalidRequestError(parameter, bytes, `is ${bytes}`, "give a positive whole number of bytes");
}

function presetError(text: string, problem: string): InvalidRequestError {
  const known = [publishedGpus, publishedMemories, publishedLinks].map((table) => Object.keys(table).join(", ")).join("; ");
  return new InvalidRequestError("machine", text, `"${text}" ${problem}`, `join GPUs, memory, link and size by "+", of ${known}; 64GiB`);
}
