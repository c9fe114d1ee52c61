/** The profile of this machine: what was measured, else what can be told in a moment. */
import { estimateMachine } from "@thermocline/solver";
import type { MachineProfile } from "@thermocline/spec";
import { type MachineInventory, readMachineInventory, usableMemoryBytes } from "./machine-inventory.js";
import { machineNameOf, profilePath, readSavedProfile } from "./profile-cache.js";

export interface LoadedMachineProfile {
  readonly profile: MachineProfile;
  /** Where a measurement is, or would be. */
  readonly path: string;
  readonly isMeasured: boolean;
  /** For people: sentences on what the profile is not. */
  readonly notices: readonly string[];
}

export interface LoadMachineProfileOptions {
  /** GPUs that no backend here can run models on; default false: a plan for this machine is one that it can carry out. */
  readonly withIdleGpus?: boolean;
  /** Default: read now. */
  readonly inventory?: MachineInventory;
}

/** Never throws for a missing, damaged or outdated measurement: notices say what is used in its place. */
export async function loadMachineProfile(options: LoadMachineProfileOptions = {}): Promise<LoadedMachineProfile> {
  const inventory = options.inventory ?? (await readMachineInventory());
  const path = profilePath(inventory);
  const saved = await readSavedProfile(path, inventory);
  const isMeasured = saved.profile !== undefined;
  const notices = isMeasured ? [] : [`${saved.reason}; rates are estimated, \`thermocline doctor --calibrate\` measures them`];
  const profile = saved.profile ?? (await estimate(inventory));
  if (options.withIdleGpus) return { profile, path, isMeasured, notices };
  const idle = await idleGpusOf(profile);
  if (idle.length > 0) notices.push(`${idle.join(", ")} cannot run models here and is left out`);
  const isKept = (id: string) => !idle.includes(id);
  return {
    profile: {
      ...profile,
      devices: profile.devices.filter(({ id }) => isKept(id)),
      links: profile.links.filter(({ from, to }) => isKept(from) && isKept(to)),
    },
    path,
    isMeasured,
    notices,
  };
}

async function idleGpusOf({ devices }: MachineProfile): Promise<readonly string[]> {
  const gpus = devices.filter(({ backend }) => backend === "cuda").map(({ id }) => id);
  if (gpus.length === 0) return [];
  try {
    const { createCudaBackend } = await import("@thermocline/cuda-kernels");
    await createCudaBackend()[Symbol.asyncDispose]();
    return [];
  } catch {
    return gpus;
  }
}

const estimateProbeBytes = 128 * 2 ** 20;
const estimateProbeMs = 60;
/** Multiplications and additions of 8-bit integers that a core begins in a cycle. */
const operationsPerCycle: Readonly<Record<string, number>> = { avx512: 256, avx2: 64, scalar: 4 };
const usualMegahertz = 3000;
/** JavaScript in place of portable C++. */
const referenceSlowdown = 20;

/** The memory is read for a moment; the rest follows from the processor's instruction set and cores. */
async function estimate(inventory: MachineInventory): Promise<MachineProfile> {
  const { processor, cpuAddon, cuda } = inventory;
  const isa = cpuAddon.available ? (cpuAddon.isas[0] ?? "scalar") : "scalar";
  const threads = cpuAddon.available ? processor.parallelism : 1;
  const hertz = (processor.megahertz || usualMegahertz) * 1e6;
  const operations = threads * hertz * (operationsPerCycle[isa] ?? 4);
  const bandwidth = await readBandwidth(inventory);
  const profile = estimateMachine({
    name: machineNameOf(inventory),
    processor: {
      name: processor.name,
      cores: threads,
      int8OperationsPerSecond: cpuAddon.available ? operations : operations / referenceSlowdown,
    },
    memoryBytes: usableMemoryBytes(inventory),
    ...(bandwidth !== undefined && { memoryBytesPerSecond: bandwidth }),
    gpus: cuda.devices.map(({ name, totalBytes }) => ({ name, memoryBytes: totalBytes })),
  });
  if (cpuAddon.available) return profile;
  const devices = profile.devices.map((device) =>
    device.kind === "cpu" ? { ...device, id: "reference:0", backend: "reference" } : device,
  );
  const rename = (id: string) => (id === "cpu:0" ? "reference:0" : id);
  return { ...profile, devices, links: profile.links.map((link) => ({ ...link, from: rename(link.from), to: rename(link.to) })) };
}

async function readBandwidth({ cpuAddon, memory }: MachineInventory): Promise<number | undefined> {
  if (!cpuAddon.available || memory.availableBytes < 4 * estimateProbeBytes) return undefined;
  const { measureReadBandwidth } = await import("@thermocline/cpu-kernels");
  const { bytesPerSecond } = await measureReadBandwidth({ byteLength: estimateProbeBytes, durationMs: estimateProbeMs });
  return bytesPerSecond;
}
