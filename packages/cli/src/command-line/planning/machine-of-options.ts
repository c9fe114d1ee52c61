import { totalmem } from "node:os";
import { hypotheticalMachine, machineFromPreset, parseMachineProfile } from "@thermocline/solver";
import { type DeviceId, InvalidRequestError, type MachineProfile } from "@thermocline/spec";
import { loadMachineProfile } from "../../machine/load-machine-profile.js";
import type { PlanningOptions } from "../../planning/planning-options.js";
import { readTextFile } from "../../read-text-file.js";

/**
 * The machine that options name: a profile's file, parts of known figures, or sizes alone; else this one. `onNotice`: what is not known of it.
 * @throws FileAccessError, InvalidMachineProfileError, InvalidRequestError.
 */
export async function machineOf(
  { machine, vram, ram }: PlanningOptions,
  signal: AbortSignal,
  onNotice: (notice: string) => void,
): Promise<MachineProfile> {
  if (machine === undefined) {
    if (vram === undefined && ram === undefined) return thisMachine(onNotice);
    return hypotheticalMachine({ vramBytes: vram ?? 0, ramBytes: ram ?? totalmem() });
  }
  if (!isFileName(machine)) {
    const sizes = { ...(ram !== undefined && { ramBytes: ram }) };
    return withVram(machineFromPreset(machine, sizes), vram);
  }
  return withRam(withVram(parseMachineProfile(await readTextFile(machine, signal)), vram), ram);
}

async function thisMachine(onNotice: (notice: string) => void): Promise<MachineProfile> {
  const { profile, notices } = await loadMachineProfile();
  for (const notice of notices) onNotice(notice);
  return profile;
}

const isFileName = (text: string) => text.endsWith(".json") || text.includes("/") || text.includes("\\");

/** GPUs in order take these sizes; one size is for all of them. */
function withVram(machine: MachineProfile, vram: readonly number[] | undefined): MachineProfile {
  if (vram === undefined) return machine;
  const gpus = machine.devices.filter(({ kind }) => kind === "gpu").map(({ id }) => id);
  if (vram.length !== 1 && vram.length !== gpus.length) {
    const problem = `has ${vram.length} sizes, ${machine.name} has ${gpus.length} ${gpus.length === 1 ? "GPU" : "GPUs"}`;
    throw new InvalidRequestError("--vram", vram, problem, "give one size, or one for each GPU");
  }
  return withMemory(machine, (id) => (gpus.includes(id) ? (vram[gpus.indexOf(id)] ?? vram[0]) : undefined), "VRAM");
}

function withRam(machine: MachineProfile, ram: number | undefined): MachineProfile {
  const cpus = machine.devices.filter(({ kind }) => kind === "cpu").map(({ id }) => id);
  return ram === undefined ? machine : withMemory(machine, (id) => (cpus.includes(id) ? ram : undefined), "RAM");
}

function withMemory(machine: MachineProfile, bytesOf: (id: DeviceId) => number | undefined, what: string): MachineProfile {
  const devices = machine.devices.map((device) => ({ ...device, memoryBytes: bytesOf(device.id) ?? device.memoryBytes }));
  return { ...machine, name: `${machine.name}, other ${what}`, devices };
}
