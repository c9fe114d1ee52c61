/** Where measurements of this machine are kept between runs. */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { parseMachineProfile } from "@thermocline/solver";
import { type MachineProfile, ThermoclineError } from "@thermocline/spec";
import { fileAccessErrorOf } from "../read-text-file.js";
import { type MachineInventory, usableMemoryBytes } from "./machine-inventory.js";

/** Of the user, for this program: `$XDG_CACHE_HOME`, or the platform's usual place. */
export function userCacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  const { XDG_CACHE_HOME, LOCALAPPDATA } = env;
  if (XDG_CACHE_HOME) return join(XDG_CACHE_HOME, "thermocline");
  if (process.platform === "win32") return join(LOCALAPPDATA || join(homedir(), "AppData", "Local"), "thermocline");
  return join(homedir(), process.platform === "darwin" ? "Library/Caches" : ".cache", "thermocline");
}

/** The file of this machine: another processor, number of cores, instruction set, size of memory or GPU is another machine. */
export function profilePath(inventory: MachineInventory): string {
  const { platform, processor, cpuAddon, cuda } = inventory;
  const parts = [
    platform,
    processor.name,
    processor.parallelism,
    cpuAddon.available ? cpuAddon.isas.join(" ") : "reference",
    // A kernel's own share of the memory differs from one start to the next.
    Math.round(usableMemoryBytes(inventory) / 2 ** 30),
    ...cuda.devices.map(({ name, totalBytes }) => `${name} ${Math.round(totalBytes / 2 ** 30)}`),
  ];
  const key = createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 16);
  return join(userCacheFolder(), `machine-${key}.json`);
}

/** Readers see the old file or the new one, whole. @throws FileAccessError. */
export async function saveProfile(path: string, profile: MachineProfile): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await mkdir(join(path, ".."), { recursive: true });
    await writeFile(temporary, `${JSON.stringify(profile, null, 2)}\n`);
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw fileAccessErrorOf(path, cause);
  }
}

/** Figures older than this are of a machine that may have changed: memory, cooling, drivers. */
const longestAgeMs = 180 * 24 * 3600 * 1000;
/** Of sizes of memory, between one start of a system and the next. */
const memoryTolerance = 1 / 16;

export type SavedProfile = { readonly profile: MachineProfile } | { readonly profile?: undefined; readonly reason: string };

/** The saved profile of this machine, or why there is none to use. Never throws. */
export async function readSavedProfile(path: string, inventory: MachineInventory, nowMs = Date.now()): Promise<SavedProfile> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return { reason: code === "ENOENT" ? "this machine was not measured" : `${path} cannot be read (${code})` };
  }
  try {
    const profile = parseMachineProfile(text);
    const reason = mismatchOf(profile, inventory, nowMs);
    return reason === undefined ? { profile } : { reason: `the measurement in ${path} ${reason}` };
  } catch (error) {
    if (!ThermoclineError.isInstance(error)) throw error;
    return { reason: `${path} holds no profile that can be used (${error.message})` };
  }
}

/** For a file whose name is right and whose content is not: copied from elsewhere, or out of date. */
function mismatchOf(profile: MachineProfile, inventory: MachineInventory, nowMs: number): string | undefined {
  const { processor, cpuAddon, cuda } = inventory;
  if (profile.name !== machineNameOf(inventory)) return `is of "${profile.name}", this is "${machineNameOf(inventory)}"`;
  const ageMs = nowMs - Date.parse(profile.date ?? "");
  if (!(ageMs < longestAgeMs)) return profile.date === undefined ? "has no date" : `is of ${profile.date.slice(0, 10)}, too long ago`;
  const host = profile.devices.find(({ kind }) => kind === "cpu");
  if (host === undefined) return "has no CPU";
  if (host.backend !== (cpuAddon.available ? "cpu" : "reference")) return `was made on the ${host.backend} backend`;
  if ((host.threads ?? 1) !== (cpuAddon.available ? processor.parallelism : 1)) return `was made with ${host.threads} threads`;
  const usable = usableMemoryBytes(inventory);
  if (Math.abs(host.memoryBytes - usable) > usable * memoryTolerance) return "was made with another size of memory";
  const gpus = profile.devices.filter(({ kind }) => kind === "gpu").map(({ name }) => name);
  if (gpus.join() !== cuda.devices.map(({ name }) => name).join()) return "was made with other GPUs";
  return undefined;
}

/** For people, and equal only for machines of the same parts. */
export function machineNameOf({ processor, cpuAddon, cuda }: MachineInventory): string {
  const isa = cpuAddon.available ? (cpuAddon.isas[0] ?? "scalar") : "reference";
  return [`${processor.name}, ${processor.parallelism} threads, ${isa}`, ...cuda.devices.map(({ name }) => name)].join(" + ");
}
