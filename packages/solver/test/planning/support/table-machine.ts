/** Machines of round figures. */
import type { MachineDevice, MachineLink, MachineProfile } from "@thermocline/spec";
import type { PlanRequest } from "../../../src/planning/plan-request.js";
import { type ModelTable, tableModel, tableTraits } from "./table-model.js";

export const MiB = 2 ** 20;
export const GiB = 2 ** 30;

export function device(id: string, memoryBytes: number, gigabytesPerSecond: number, contextBytes = 0): MachineDevice {
  const kind = id.startsWith("cuda") ? "gpu" : "cpu";
  const bytesPerSecond = gigabytesPerSecond * 1e9;
  return {
    id,
    kind,
    backend: id.split(":")[0]!,
    name: id,
    memoryBytes,
    memoryBytesPerSecond: bytesPerSecond,
    contextBytes,
    rates: {
      weightBytesPerSecond: { other: bytesPerSecond },
      operationsPerSecond: { other: bytesPerSecond * 100 },
      kvBytesPerSecond: bytesPerSecond,
      attentionOperationsPerSecond: bytesPerSecond * 50,
      commandSeconds: 2e-6,
    },
  };
}

export function machineOf(...devices: MachineDevice[]): MachineProfile {
  const links = devices.flatMap((from) =>
    devices.flatMap((to): MachineLink[] =>
      from === to ? [] : [{ from: from.id, to: to.id, bytesPerSecond: 16e9, latencySeconds: 20e-6 }],
    ),
  );
  return { version: 1, name: "table machine", source: "round figures", devices, links };
}

export const traits = { cpu: tableTraits("cpu"), cuda: tableTraits("cuda"), reference: tableTraits("reference", ["f32"]) };

/** A GPU of so many MiB ten times as fast as a CPU with 16 GiB; solved by greedy alone, which is quick. */
export function requestOf(gpuMiB: number, table: ModelTable = {}, more: Partial<PlanRequest> = {}): PlanRequest {
  const machine = machineOf(device("cpu:0", 16 * GiB, 40), device("cuda:0", 8 * GiB, 400));
  const budgets = { "cuda:0": { budgetBytes: gpuMiB * MiB } };
  return { demandModel: tableModel(table), machine, traits, budgets, solver: "greedy", ...more };
}
