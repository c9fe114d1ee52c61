/** From options to what the planner is asked. Runs in a browser. */
import type { DeviceBudget, PlanRequest } from "@thermocline/solver";
import type { BackendTraits, DemandModel, DemandSettings, DeviceId, MachineProfile } from "@thermocline/spec";
import { demandSettingsOf, type PlanningOptions, workloadOf } from "./planning-options.js";

export interface PlannedMachine {
  readonly machine: MachineProfile;
  /** By backend. */
  readonly traits: Readonly<Record<string, BackendTraits>>;
}

/** `further`: settings that no option names as numbers. */
export function planRequestOf(
  demandModel: DemandModel,
  { machine, traits }: PlannedMachine,
  options: PlanningOptions,
  further: DemandSettings = {},
): PlanRequest {
  const { pin, maxGpuLayers, cpuExperts, solver, strategy, budget = {}, reserve = {} } = options;
  const budgets: Record<DeviceId, DeviceBudget> = {};
  for (const [device, budgetBytes] of Object.entries(budget)) budgets[device] = { budgetBytes };
  for (const [device, reserveBytes] of Object.entries(reserve)) budgets[device] = { ...budgets[device], reserveBytes };
  return {
    demandModel,
    machine,
    traits,
    settings: { ...demandSettingsOf(options), ...further },
    workload: workloadOf(options),
    budgets,
    solver,
    strategy,
    ...(pin !== undefined && { pins: pin }),
    ...(maxGpuLayers !== undefined && { maxGpuLayers }),
    ...(cpuExperts !== undefined && { cpuExperts }),
  };
}
