/** The conditions of a measurement. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";
import path from "node:path";

/** Names a machine by its processor and their number; two machines of a kind share a name. */
export function machineName() {
  return `${cpuModel()}-${availableParallelism()}-threads`
    .toLowerCase()
    .replace(/\([^)]*\)/g, "")
    .replace(/[^a-z0-9.]+/g, "-")
    .replace(/^-|-$/g, "");
}

/** Fixed for a run. */
export function machineConditions() {
  return {
    cpu: cpuModel(),
    threads: availableParallelism(),
    memoryBytes: totalmem(),
    instructionSets: instructionSets(),
    system: `${process.platform} ${release()} ${process.arch}`,
    node: process.version,
    commit: commit(),
    date: new Date().toISOString(),
  };
}

/** Runnable tasks over 1, 5 and 15 minutes: what else the machine was doing, and this run itself. */
export function loadAverage() {
  return loadavg().map((load) => Number(load.toFixed(2)));
}

function cpuModel() {
  return cpus()[0]?.model.trim() ?? process.arch;
}

function instructionSets() {
  if (!existsSync("/proc/cpuinfo")) return [];
  const flags = /^flags\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1]?.split(" ") ?? [];
  return flags.filter((flag) => /^(avx|fma|f16c|amx)/.test(flag));
}

/** The checked-out commit; "-dirty" where tracked files differ from it. */
function commit() {
  /** @param {readonly string[]} args */
  const git = (args) =>
    execFileSync("git", args, { cwd: import.meta.dirname, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    return git(["rev-parse", "HEAD"]) + (git(["status", "--porcelain", "--untracked-files=no"]) === "" ? "" : "-dirty");
  } catch {
    return "unknown";
  }
}

/** SHA-256 over the built files of this engine that a measuring process loads: the same before and after, or the run mixes two builds. */
export function buildIdentity() {
  const packages = path.resolve(import.meta.dirname, "../packages");
  const folders = ["spec/dist", "loader-gguf/dist", "core/dist", "cpu-kernels/dist", "cpu-kernels/build/Release"];
  const hash = createHash("sha256");
  for (const folder of folders.map((name) => path.join(packages, name)).filter((name) => existsSync(name))) {
    for (const file of readdirSync(folder).sort()) if (/\.(js|node)$/.test(file)) hash.update(readFileSync(path.join(folder, file)));
  }
  return hash.digest("hex");
}
