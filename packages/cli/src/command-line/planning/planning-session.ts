/** What every question to `plan` needs: the machine, models by their headers, progress, and the signal of Ctrl-C. */
import { createDemandModel } from "@thermocline/core/demand";
import { openGguf } from "@thermocline/loader-gguf";
import { createPlan, type PlanRequest } from "@thermocline/solver";
import type { DemandDevice, DemandModel } from "@thermocline/spec";
import { traitsOf } from "../../planning/backend-traits.js";
import { withKvBudget } from "../../planning/kv-budget-settings.js";
import { placementOf } from "../../planning/placement-of.js";
import { type PlannedMachine, planRequestOf } from "../../planning/plan-request-of.js";
import type { PlanningOptions } from "../../planning/planning-options.js";
import { escapeControls, jsonLine } from "../../terminal-text.js";
import { writeNotice } from "../standard-streams.js";
import { createStatusLine, type StatusLine } from "../status-line.js";
import { machineOf } from "./machine-of-options.js";

export interface PlanningSession extends Disposable {
  readonly options: PlanningOptions;
  readonly signal: AbortSignal;
  readonly planned: PlannedMachine;
  readonly status: StatusLine;
  /** A sentence on stderr, as JSON where that is asked for. */
  say(notice: string): void;
}

export async function startPlanning(options: PlanningOptions, signal: AbortSignal): Promise<PlanningSession> {
  const status = createStatusLine(process.stderr, process.stderr.isTTY && options.json !== true);
  const say = (notice: string) => {
    status.clear();
    writeNotice(options.json ? jsonLine({ notice }) : `note: ${escapeControls(notice)}`);
  };
  const machine = await machineOf(options, signal, say);
  const planned = { machine, traits: await traitsOf(machine) };
  return { options, signal, planned, status, say, [Symbol.dispose]: () => status.clear() };
}

/** A model by its header, from a path or an address. */
export async function readDemandModel(location: string, { signal, status }: PlanningSession): Promise<DemandModel> {
  status.show(`reading ${location}`);
  await using source = await openGguf(location, { signal });
  return createDemandModel(source);
}

export function demandDevicesOf({ planned: { machine, traits } }: PlanningSession): readonly DemandDevice[] {
  return machine.devices.map(({ id, backend, contextBytes }) => ({ id, traits: traits[backend]!, contextBytes }));
}

/** What the planner is asked of a model. A KV budget is one of what a first plan leaves. */
export async function requestFor(demandModel: DemandModel, session: PlanningSession): Promise<PlanRequest> {
  const { options, signal, planned, status } = session;
  const request: PlanRequest = {
    ...planRequestOf(demandModel, planned, options),
    signal,
    onProgress: ({ phase, detail }) => status.show(`planning: ${phase} ${detail}`),
  };
  const { kvBudget } = options;
  if (kvBudget === undefined) return request;
  const first = await createPlan({ ...request, solver: "greedy" });
  const memory = Object.entries(first.devices).map(([id, { budgetBytes = 0, reserveBytes = 0 }]) => {
    return [id, { totalBytes: budgetBytes, freeBytes: budgetBytes - reserveBytes }] as const;
  });
  const question = { demandModel, devices: demandDevicesOf(session), placement: placementOf(first), memory: Object.fromEntries(memory) };
  return { ...request, settings: withKvBudget(question, request.settings ?? {}, kvBudget) };
}

export async function requestsFor(locations: readonly string[], session: PlanningSession): Promise<readonly PlanRequest[]> {
  const requests: PlanRequest[] = [];
  for (const location of locations) requests.push(await requestFor(await readDemandModel(location, session), session));
  return requests;
}
