/** What a machine cannot do, and why, and what helps. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { formatBytes } from "../format-bytes.js";
import { type MachineInventory, usableMemoryBytes } from "./machine-inventory.js";

export interface MachineFinding {
  readonly code: string;
  /** A sentence without a full stop. */
  readonly problem: string;
  /** What to do about it, a clause. */
  readonly cure: string;
}

const gib = 2 ** 30;
const fewCores = 4;
const littleMemoryBytes = 8 * gib;

/** Whether a program of this name is on the path. */
export type FindProgram = (name: string) => boolean;

export const isOnPath: FindProgram = (name) =>
  (process.env.PATH ?? "")
    .split(delimiter)
    .filter(Boolean)
    .some((folder) => existsSync(join(folder, process.platform === "win32" ? `${name}.exe` : name)));

/** The gravest first; none on a machine that lacks nothing. */
export function findingsOf(inventory: MachineInventory, hasProgram: FindProgram = isOnPath): readonly MachineFinding[] {
  return [
    ...addonFindings(inventory, hasProgram),
    ...cudaFindings(inventory, hasProgram),
    ...processorFindings(inventory),
    ...memoryFindings(inventory),
  ];
}

function addonFindings({ cpuAddon }: MachineInventory, hasProgram: FindProgram): MachineFinding[] {
  if (cpuAddon.available) {
    if (cpuAddon.isas.some((isa) => isa !== "scalar")) return [];
    const problem = "this processor has none of the vector instructions that kernels are written for, so portable code runs";
    return [{ code: "no-vector-instructions", problem, cure: "use a processor with AVX2 or AVX-512" }];
  }
  const missing = [
    ...(hasProgram("cmake") ? [] : ["cmake"]),
    ...(["c++", "g++", "clang++", "cl"].some(hasProgram) ? [] : ["a C++ compiler"]),
  ];
  const why = missing.length > 0 ? `, and to build it ${missing.join(" and ")} ${missing.length > 1 ? "are" : "is"} missing` : "";
  return [
    {
      code: "no-cpu-addon",
      problem: `the CPU addon does not load (${cpuAddon.reasons.join("; ")})${why}; models run on the reference backend, some forty times slower`,
      cure: "install the package of this platform, or build the repository with a C++20 compiler and cmake",
    },
  ];
}

function cudaFindings({ cuda }: MachineInventory, hasProgram: FindProgram): MachineFinding[] {
  if (cuda.devices.length > 0) {
    const names = cuda.devices.map(({ id, name }) => `${id} (${name})`).join(", ");
    const problem = `${names} cannot run models: @thermocline/cuda-kernels has no compute kernels`;
    return [{ code: "no-cuda-kernels", problem, cure: "plan for it with `thermocline plan`, and run on the CPU" }];
  }
  const problem = `there is no GPU to use: ${cuda.reason?.replace(/^no device: /, "") ?? "none was found"}`;
  if (!cuda.built) {
    const cure = hasProgram("nvcc") ? "build the repository again" : "install the CUDA toolkit and build the repository again";
    return [{ code: "no-cuda-addon", problem, cure: `where there is an NVIDIA GPU, ${cure}` }];
  }
  const cure = cuda.driverVersion === undefined ? "install its driver" : `install a driver for CUDA ${cuda.runtimeVersion}`;
  return [{ code: "no-cuda-device", problem, cure: `where there is an NVIDIA GPU, ${cure}` }];
}

function processorFindings({ processor: { numCores, parallelism, loadAverage } }: MachineInventory): MachineFinding[] {
  const findings: MachineFinding[] = [];
  if (parallelism < numCores) {
    const problem = `this process may use ${parallelism} of ${numCores} cores`;
    findings.push({ code: "cores-withheld", problem, cure: "raise the container's share or the affinity mask" });
  }
  if (parallelism < fewCores) {
    const problem = `${parallelism} ${parallelism === 1 ? "core reads" : "cores read"} prompts slowly, and seldom exhaust the memory's bandwidth`;
    findings.push({ code: "few-cores", problem, cure: `use a machine with ${fewCores} or more` });
  }
  if (loadAverage > parallelism * 0.5) {
    const problem = `other programs keep ${loadAverage.toFixed(1)} cores busy`;
    findings.push({ code: "busy", problem, cure: "end them before a model runs or the machine is measured" });
  }
  return findings;
}

function memoryFindings(inventory: MachineInventory): MachineFinding[] {
  const { totalBytes, limitBytes, availableBytes, pageCacheBytes = 0, swapUsedBytes = 0 } = inventory.memory;
  const usable = usableMemoryBytes(inventory);
  const findings: MachineFinding[] = [];
  if (limitBytes !== undefined) {
    const problem = `the container has ${formatBytes(limitBytes)} of the machine's ${formatBytes(totalBytes)}`;
    findings.push({ code: "memory-limit", problem, cure: "raise its memory limit" });
  }
  if (usable < littleMemoryBytes) {
    const problem = `${formatBytes(usable)} of memory hold no model of more than some ${Math.max(1, Math.floor(usable / gib))} billion parameters at 4 bits`;
    findings.push({ code: "little-memory", problem, cure: "choose a small model or a small quantisation" });
  }
  if (availableBytes < usable / 2) {
    const cached =
      pageCacheBytes > 0 ? `, ${formatBytes(pageCacheBytes)} of it files that the system gives back when they are not needed` : "";
    const problem = `${formatBytes(availableBytes)} of ${formatBytes(usable)} are free${cached}`;
    findings.push({ code: "memory-taken", problem, cure: "end programs that hold memory" });
  }
  if (swapUsedBytes > usable / 50) {
    const problem = `${formatBytes(swapUsedBytes)} are swapped out; a model whose pages are goes at the disk's speed`;
    findings.push({ code: "swapped", problem, cure: "end programs that hold memory, or place less in it" });
  }
  return findings;
}
