/** A request that has been checked, with the model's demand for it. */
import {
  type DemandDevice,
  type DemandSettings,
  type DeviceId,
  InvalidRequestError,
  type MachineDevice,
  type MemoryDemand,
  type Workload,
} from "@thermocline/spec";
import { limitsOf, type MachineLimits } from "./device-limits.js";
import { checkPinsFit, type UnitLimit, unitLimitsOf } from "./pins.js";
import { defaultWorkload, type PlanRequest, strategyNames } from "./plan-request.js";

export interface PlanContext {
  readonly request: PlanRequest;
  /** What the demand was asked with; `demand.settings` has the defaults filled in. */
  readonly settings: DemandSettings;
  readonly demandDevices: readonly DemandDevice[];
  readonly demand: MemoryDemand;
  readonly workload: Workload;
  readonly limits: MachineLimits;
  readonly unitLimits: ReadonlyMap<string, UnitLimit>;
}

/**
 * @throws InvalidRequestError for budgets, settings, workloads, strategies and limits that cannot be; InvalidPinError for pins.
 */
export function preparePlan(request: PlanRequest): PlanContext {
  request.signal?.throwIfAborted();
  const { demandModel, machine, strategy = "plan" } = request;
  if (!strategyNames.includes(strategy))
    throw new InvalidRequestError("strategy", strategy, `is ${strategy}`, `use one of ${strategyNames.join(", ")}`);
  checkSolverOptions(request);
  const limits = limitsOf(machine, request.budgets);
  checkWorkload(request.workload ?? {});
  checkContextLength(request);
  const demandDevices = machine.devices.map((device) => demandDeviceOf(device, request));
  request.onProgress?.({ phase: "memory", detail: demandModel.model.name });
  let settings = withSequences(request.settings ?? {}, request.workload?.batch);
  let demand = demandModel.demandOf(demandDevices, settings);
  const neededTokens = tokensOf(request.workload ?? {});
  if (
    settings.contextLength === undefined &&
    demand.settings.contextLength < neededTokens &&
    neededTokens <= demandModel.model.contextLength
  ) {
    settings = { ...settings, contextLength: neededTokens };
    demand = demandModel.demandOf(demandDevices, settings);
  }
  const workload = fillWorkload(request.workload ?? {}, demand.settings.contextLength);
  checkWorkloadFits(workload, demand);
  const unitLimits = unitLimitsOf(demand.units, machine.devices, request);
  checkPinsFit(demand, unitLimits, new Map(limits.devices.map(({ device, limitBytes }) => [device.id, limitBytes])));
  return { request, settings, demandDevices, demand, workload, limits, unitLimits };
}

function demandDeviceOf({ id, backend, contextBytes }: MachineDevice, { traits }: PlanRequest): DemandDevice {
  const known = traits[backend];
  if (known === undefined) {
    const there = Object.keys(traits).join(", ") || "none";
    throw new InvalidRequestError("traits", backend, `has none for backend ${backend} of ${id}`, `there are: ${there}; add its traits`);
  }
  return { id, traits: known, contextBytes };
}

function checkSolverOptions({ solver = "auto", timeLimitMs = 1, gap = 0 }: PlanRequest): void {
  if (!["auto", "greedy", "exact"].includes(solver))
    throw new InvalidRequestError("solver", solver, `is ${solver}`, "use auto, greedy or exact");
  if (!(timeLimitMs > 0)) throw new InvalidRequestError("timeLimitMs", timeLimitMs, `is ${timeLimitMs}`, "give a number above 0");
  if (!(gap >= 0 && gap < 1)) throw new InvalidRequestError("gap", gap, `is ${gap}`, "give a fraction from 0 to below 1");
}

function checkContextLength({ settings, demandModel: { model } }: PlanRequest): void {
  const contextLength = settings?.contextLength;
  if (contextLength === undefined || !(contextLength > model.contextLength)) return;
  const problem = `is ${contextLength}, ${model.name} was trained for ${model.contextLength} tokens`;
  throw new InvalidRequestError("contextLength", contextLength, problem, `give at most ${model.contextLength}`);
}

function checkWorkload(workload: Partial<Workload>): void {
  for (const [name, value] of Object.entries(workload)) {
    if (value === undefined) continue;
    const least = name === "batch" ? 1 : 0;
    if (!Number.isSafeInteger(value) || value < least)
      throw new InvalidRequestError(`workload.${name}`, value, `is ${value}`, `give a whole number from ${least} on`);
  }
  if (workload.promptTokens === 0 && workload.outputTokens === 0)
    throw new InvalidRequestError("workload", workload, "has no tokens", "give it a prompt or an output of at least one token");
}

const tokensOf = ({ promptTokens = 0, outputTokens = 0, contextDepth = 0 }: Partial<Workload>) =>
  promptTokens + outputTokens + contextDepth;

function withSequences(settings: DemandSettings, batch: number | undefined): DemandSettings {
  return settings.maxSequences === undefined && batch !== undefined && batch > 1 ? { ...settings, maxSequences: batch } : settings;
}

/** Members that are missing share what the context leaves: two thirds for the prompt where it is short. */
function fillWorkload(given: Partial<Workload>, contextLength: number): Workload {
  const { contextDepth = defaultWorkload.contextDepth, batch = defaultWorkload.batch } = given;
  const free = Math.max(0, contextLength - contextDepth);
  const promptRoom = given.outputTokens === undefined ? Math.ceil((free * 2) / 3) : Math.max(0, free - given.outputTokens);
  const promptTokens = given.promptTokens ?? Math.min(defaultWorkload.promptTokens, promptRoom);
  const outputTokens = given.outputTokens ?? Math.min(defaultWorkload.outputTokens, Math.max(0, free - promptTokens));
  return { promptTokens, outputTokens, contextDepth, batch };
}

function checkWorkloadFits(workload: Workload, { settings, model }: MemoryDemand): void {
  const tokens = tokensOf(workload);
  const { contextLength, maxSequences, kvCacheTokens } = settings;
  const refuse = (problem: string, cure: string): never => {
    throw new InvalidRequestError("workload", workload, problem, cure);
  };
  if (tokens > contextLength) {
    const cure =
      tokens <= model.contextLength
        ? `raise contextLength to ${tokens}, or shorten it`
        : `shorten it: the model reads ${model.contextLength}`;
    refuse(`has ${tokens} tokens a sequence, the context holds ${contextLength}`, cure);
  }
  if (workload.batch > maxSequences)
    refuse(`has ${workload.batch} sequences at a time, maxSequences is ${maxSequences}`, `raise maxSequences to ${workload.batch}`);
  if (workload.batch * tokens > kvCacheTokens)
    refuse(
      `has ${workload.batch * tokens} tokens at a time, the KV cache holds ${kvCacheTokens}`,
      `raise kvCacheTokens to ${workload.batch * tokens}, or lower the batch`,
    );
}

/** By unit id, of units with a limit alone: the devices that they may lie on. */
export function allowedDevicesOf({ unitLimits }: PlanContext): Readonly<Record<string, readonly DeviceId[]>> {
  return Object.fromEntries([...unitLimits].map(([id, { devices }]) => [id, devices]));
}
