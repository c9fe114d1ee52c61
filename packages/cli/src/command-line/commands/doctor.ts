import type { MachineMeasurement, MachineProfile } from "@thermocline/spec";
import { formatBytes } from "../../format-bytes.js";
import { formatTable } from "../../format-table.js";
import { hostBudgetBytes } from "../../host-memory.js";
import { calibrateMachine } from "../../machine/calibrate-machine.js";
import { findingsOf, type MachineFinding } from "../../machine/machine-findings.js";
import { type MachineInventory, readMachineInventory } from "../../machine/machine-inventory.js";
import { profilePath, readSavedProfile, saveProfile } from "../../machine/profile-cache.js";
import { escapeControls, jsonLine } from "../../terminal-text.js";
import { interruptible } from "../interruption.js";
import { createProgressBar } from "../progress-bar.js";
import { writeOutput } from "../standard-streams.js";

export interface DoctorOptions {
  readonly calibrate?: boolean;
  readonly json?: boolean;
}

/** What is said of the machine's profile: it was made now, was there, or is not to be had. */
interface ProfileState {
  readonly path: string;
  readonly profile?: MachineProfile;
  /** Why there is none. */
  readonly reason?: string;
}

/** Ends with 0 whatever it finds: a machine that lacks something is an answer. */
export async function doctor({ calibrate, json }: DoctorOptions): Promise<void> {
  await interruptible(async (signal) => {
    const inventory = await readMachineInventory();
    const findings = findingsOf(inventory);
    const path = profilePath(inventory);
    let state: ProfileState = { path, ...(await readSavedProfile(path, inventory)) };
    if (calibrate) {
      const profile = await measure(inventory, signal, json === true);
      await saveProfile(path, profile);
      state = { path, profile };
    }
    if (json) await writeOutput(`${jsonLine({ ...inventory, findings, calibration: state })}\n`);
    else await writeOutput(`${describe(inventory, findings, state, calibrate === true)}\n`);
  });
}

async function measure(inventory: MachineInventory, signal: AbortSignal, isQuiet: boolean): Promise<MachineProfile> {
  const bar = process.stderr.isTTY && !isQuiet ? createProgressBar(process.stderr, "measuring") : undefined;
  try {
    return await calibrateMachine(inventory, { signal, onProgress: (fraction, what) => bar?.update(fraction, what) });
  } finally {
    bar?.clear();
  }
}

function describe(inventory: MachineInventory, findings: readonly MachineFinding[], state: ProfileState, isNew: boolean): string {
  const blocks = [formatTable(overviewOf(inventory, state)), formatFindings(findings)];
  if (isNew) blocks.push(formatMeasurements(state.profile!.measurements!));
  return blocks.join("\n\n");
}

function overviewOf(
  { platform, processor, memory, cpuAddon, cuda }: MachineInventory,
  { path, profile, reason }: ProfileState,
): string[][] {
  const { name, numCores, parallelism } = processor;
  const cores = parallelism === numCores ? `${numCores} cores` : `${parallelism} of ${numCores} cores`;
  const limit = memory.limitBytes === undefined ? "" : `, limited to ${formatBytes(memory.limitBytes)}`;
  const swap =
    memory.swapTotalBytes === undefined
      ? []
      : [
          [
            "swap",
            memory.swapTotalBytes === 0 ? "none" : `${formatBytes(memory.swapUsedBytes!)} of ${formatBytes(memory.swapTotalBytes)} used`,
          ],
        ];
  const cached = memory.pageCacheBytes === undefined ? "" : `; ${formatBytes(memory.pageCacheBytes)} hold pages of files`;
  const gpus = cuda.devices.map(({ id, name: gpu, totalBytes, computeCapability, multiprocessors }) => [
    id,
    `${gpu}, ${formatBytes(totalBytes)}, compute capability ${computeCapability}, ${multiprocessors} multiprocessors`,
  ]);
  return [
    ["platform", `${platform}, Node ${process.versions.node}`],
    ["processor", `${name}, ${cores}`],
    ["kernels", cpuAddon.available ? cpuAddon.isas.join(", ") : "reference, in TypeScript"],
    ["memory", `${formatBytes(memory.totalBytes)}${limit}; ${formatBytes(memory.availableBytes)} available${cached}`],
    ["for models", `${formatBytes(hostBudgetBytes())} at most`],
    ...swap,
    ...(gpus.length > 0 ? gpus : [["GPU", "none"]]),
    [
      "CUDA",
      cuda.driverVersion === undefined
        ? "no driver"
        : `driver for ${cuda.driverVersion}, this build ${cuda.runtimeVersion ?? "without it"}`,
    ],
    ["measured", profile === undefined ? `no: ${reason}` : `${profile.date!.slice(0, 16).replace("T", " ")} UTC, ${path}`],
  ];
}

function formatFindings(findings: readonly MachineFinding[]): string {
  if (findings.length === 0) return "nothing is missing";
  return findings.map(({ problem, cure }) => `- ${escapeControls(problem)}\n  ${escapeControls(cure)}`).join("\n");
}

const tableHeader = ["", "figure", "median", "least", "most", "samples"];

function formatMeasurements(measurements: readonly MachineMeasurement[]): string {
  const rows = measurements.map(({ subject, quantity, value, least, most, numSamples }) => {
    const [name, dtype] = quantity.split(".") as [string, string | undefined];
    const { text, scale, unit, digits } = shownAs(name);
    const figures = [value, least, most].map((figure) => (figure * scale).toFixed(digits));
    return [subject, dtype === undefined ? `${text}, ${unit}` : `${text} ${dtype}, ${unit}`, ...figures, String(numSamples)];
  });
  return formatTable([tableHeader, ...rows], new Set([2, 3, 4, 5]));
}

const namesOfQuantities: Readonly<Record<string, string>> = {
  weightBytesPerSecond: "decode",
  operationsPerSecond: "prefill",
  kvBytesPerSecond: "KV cache read",
  attentionOperationsPerSecond: "attention of prefill",
  commandSeconds: "command",
  memoryBytesPerSecond: "memory read",
  latencySeconds: "hand-over",
  bytesPerSecond: "link",
};

/** Units follow from the ends of quantities' names. */
function shownAs(quantity: string): { readonly text: string; readonly scale: number; readonly unit: string; readonly digits: number } {
  const text = namesOfQuantities[quantity] ?? quantity.replace(/BytesPerSecond|OperationsPerSecond|Seconds/, "");
  if (quantity.endsWith("perationsPerSecond")) return { text, scale: 1e-9, unit: "GOP/s", digits: 1 };
  if (quantity.endsWith("ytesPerSecond")) return { text, scale: 1e-9, unit: "GB/s", digits: 2 };
  return { text, scale: 1e6, unit: "µs", digits: 2 };
}
