/** Answers to the questions about speed, files and company. */
import {
  type BudgetPoint,
  budgetCurve,
  chooseQuantisation,
  leastBudget,
  planTogether,
  type QuantisationAdvice,
  type SharedPlanRequest,
  type SpeedTarget,
} from "@thermocline/solver";
import { type DeviceId, InfeasiblePlanError, InvalidRequestError, type MachineProfile, ThermoclineError } from "@thermocline/spec";
import { formatBytes } from "../../format-bytes.js";
import { formatTable } from "../../format-table.js";
import { writeByteSize } from "../../planning/byte-size.js";
import { formatRate, formatSeconds, summarizePlan } from "../../planning/plan-summary.js";
import { jsonLine } from "../../terminal-text.js";
import { writeOutput } from "../standard-streams.js";
import { type PlanningSession, readDemandModel, requestFor, requestsFor } from "./planning-session.js";
import { showPlan } from "./show-plan.js";

/** Of the machine's memory: a quarter to twice as much. */
const usualShares = [1, 2, 3, 4, 5, 6, 7, 8].map((quarters) => quarters / 4);

export async function showCurve(location: string, session: PlanningSession): Promise<void> {
  const { options, planned, status } = session;
  const device = firstGpu(planned.machine, "--curve");
  const request = await requestFor(await readDemandModel(location, session), session);
  const memoryBytes = options.budget?.[device.id] ?? device.memoryBytes;
  const sizes = options.curveSizes ?? usualShares.map((share) => Math.floor(memoryBytes * share));
  const points = await budgetCurve(request, device.id, sizes);
  status.clear();
  if (options.json) {
    await writeOutput(`${jsonLine({ device: device.id, points: points.map(({ plan: _, ...figures }) => figures) })}\n`);
    return;
  }
  const fastest = Math.max(...points.map(({ tokensPerSecond = 0 }) => tokensPerSecond));
  const rows = points.map((point) => [formatBytes(point.bytes), ...figuresOf(point), bar((point.tokensPerSecond ?? 0) / fastest)]);
  await writeOutput(`${formatTable([[device.id, "first token", "tok/s", ""], ...rows], new Set([0, 1, 2]))}\n`);
}

function figuresOf({ tokensPerSecond, timeToFirstTokenSeconds }: Omit<BudgetPoint, "bytes">): readonly [string, string] {
  if (tokensPerSecond === undefined || timeToFirstTokenSeconds === undefined) return ["does not fit", ""];
  return [formatSeconds(timeToFirstTokenSeconds), formatRate(tokensPerSecond)];
}

function bar(share: number): string {
  return "#".repeat(Math.round(Math.max(0, Math.min(1, share)) * 40));
}

export async function showTarget(location: string, session: PlanningSession): Promise<void> {
  const { options, planned, status } = session;
  const { minTokensPerSecond, maxTtft } = options;
  const device = firstGpu(planned.machine, minTokensPerSecond === undefined ? "--max-ttft" : "--min-tokens-per-second");
  const request = await requestFor(await readDemandModel(location, session), session);
  const target: SpeedTarget = {
    ...(minTokensPerSecond !== undefined && { minTokensPerSecond }),
    ...(maxTtft !== undefined && { maxTimeToFirstTokenSeconds: maxTtft }),
  };
  const found = await leastBudget(request, device.id, target);
  status.clear();
  const { bytes, tokensPerSecond, timeToFirstTokenSeconds, plan } = found;
  const speeds = `${formatRate(tokensPerSecond)} tok/s, first token after ${formatSeconds(timeToFirstTokenSeconds)}`;
  const beyond = bytes > device.memoryBytes ? `, which is more than its ${formatBytes(device.memoryBytes)}` : "";
  const needs = bytes === 0 ? `nothing of ${device.id} is needed` : `${device.id} needs ${formatBytes(bytes)}${beyond}`;
  await showPlan(plan, session, `${needs}: ${speeds} (predicted)`, { device: device.id, ...found });
}

function firstGpu({ name, devices }: MachineProfile, flag: string): MachineProfile["devices"][number] {
  const gpu = devices.find(({ kind }) => kind === "gpu");
  if (gpu !== undefined) return gpu;
  throw new InvalidRequestError(flag, name, `asks for a GPU's memory, ${name} has no GPU`, "describe one with --vram or --machine");
}

export async function showChoice(locations: readonly string[], session: PlanningSession): Promise<void> {
  const { options, status } = session;
  const requests = await requestsFor(locations, session);
  const { minTokensPerSecond } = options;
  const advice = await chooseQuantisation(requests, { ...(minTokensPerSecond !== undefined && { minTokensPerSecond }) });
  status.clear();
  const locationOf = ({ request }: QuantisationAdvice["choices"][number]) => locations[requests.indexOf(request)]!;
  const choices = advice.choices.map(({ request: _, plan, ...choice }, index) => ({
    model: locationOf(advice.choices[index]!),
    ...choice,
    fits: plan !== undefined,
  }));
  const { recommended, explanation } = advice;
  const chosen = recommended && { recommended: locationOf(recommended), plan: recommended.plan };
  const json = { choices, ...chosen, explanation };
  const rows = advice.choices.map((choice) => {
    const { quantisation, bitsPerWeight } = choice;
    return [choice === advice.recommended ? "*" : "", locationOf(choice), quantisation, bitsPerWeight.toFixed(1), ...figuresOf(choice)];
  });
  const table = formatTable([["", "file", "type", "bits", "first token", "tok/s"], ...rows], new Set([3, 4, 5]));
  const answer = `${table}\n\n${explanation}`;
  if (recommended?.plan !== undefined) await showPlan(recommended.plan, session, answer, json);
  else await writeOutput(`${options.json ? jsonLine(json) : answer}\n`);
}

export async function showTogether(locations: readonly string[], session: PlanningSession): Promise<void> {
  const { options, planned, status } = session;
  const names = namesOf(locations);
  const claims = options.claim ?? {};
  const unknown = Object.keys(claims).find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new InvalidRequestError("--claim", unknown, `names ${unknown}, which is not planned`, `name one of ${names.join(", ")}`);
  const gpus = planned.machine.devices.filter(({ kind }) => kind === "gpu");
  const claimed = (gpus.length > 0 ? gpus : planned.machine.devices).map(({ id }) => id);
  const requests = (await requestsFor(locations, session)).map((request, index): SharedPlanRequest => {
    const name = names[index]!;
    const claim = claims[name];
    return { ...request, name, ...(claim && { claims: Object.fromEntries(claimed.map((id): [DeviceId, typeof claim] => [id, claim])) }) };
  });
  const plans = await planTogether(requests).catch((error: unknown) => {
    throw inWordsOfClaims(error);
  });
  status.clear();
  if (options.json) return writeOutput(`${jsonLine({ plans: Object.fromEntries(plans) })}\n`);
  const devices = planned.machine.devices.map(({ id }) => id);
  await writeOutput(`${[...plans].map(([name, plan]) => `${name}\n${summarizePlan(plan, devices)}`).join("\n\n")}\n`);
}

/** A model's budget is its claim here, so that is what to raise. */
function inWordsOfClaims(error: unknown): unknown {
  if (!(ThermoclineError.isInstance(error) && error.code === "infeasible-plan")) return error;
  const { missingBytes, remedy, cure } = error as InfeasiblePlanError;
  const [budget] = Object.entries(remedy?.budgetBytes ?? remedy?.memoryBytes ?? {});
  if (budget === undefined) return error;
  const name = /^for (.+?): /.exec(cure)?.[1] ?? "the model";
  return new InfeasiblePlanError(missingBytes, `raise what it claims: --claim ${name}=${writeByteSize(budget[1])}`);
}

/** File names without folders and endings, numbered where they are the same. */
export function namesOf(locations: readonly string[]): readonly string[] {
  const names: string[] = [];
  for (const location of locations) {
    const name = (location.split(/[?#]/)[0]!.split(/[\\/]/).at(-1) ?? location).replace(/\.gguf$/i, "") || location;
    let unique = name;
    for (let count = 2; names.includes(unique); count++) unique = `${name}-${count}`;
    names.push(unique);
  }
  return names;
}
