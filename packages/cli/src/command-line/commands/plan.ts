import { comparePlans, createPlan, formatComparison, largestContext, largestKvType } from "@thermocline/solver";
import type { OffloadPlan } from "@thermocline/spec";
import { placementOf } from "../../planning/placement-of.js";
import type { PlanningOptions } from "../../planning/planning-options.js";
import { readPlan } from "../../read-plan.js";
import { jsonLine } from "../../terminal-text.js";
import { interruptible } from "../interruption.js";
import { showChoice, showCurve, showTarget, showTogether } from "../planning/answers.js";
import { formatIntermediates, formatUnits } from "../planning/lists.js";
import { showMeasured } from "../planning/measure.js";
import { demandDevicesOf, type PlanningSession, readDemandModel, requestFor, startPlanning } from "../planning/planning-session.js";
import { type Question, questionOf } from "../planning/question.js";
import { showPlan, terminalOptions } from "../planning/show-plan.js";
import { writeOutput } from "../standard-streams.js";

export async function plan(locations: readonly string[], options: PlanningOptions): Promise<void> {
  const question = questionOf(locations, options);
  await interruptible(async (signal) => {
    if (question === "compare") return showComparison(locations, options);
    using session = await startPlanning(options, signal);
    await answer(question, locations, session);
  });
}

async function answer(question: Exclude<Question, "compare">, locations: readonly string[], session: PlanningSession): Promise<void> {
  const [location] = locations as readonly [string];
  switch (question) {
    case "plan":
      return showBestPlan(location, session);
    case "curve":
      return showCurve(location, session);
    case "target":
      return showTarget(location, session);
    case "choose":
      return showChoice(locations, session);
    case "together":
      return showTogether(locations, session);
    case "units":
      return showUnits(location, session);
    case "intermediates":
      return showIntermediates(location, session);
    case "measure":
      return showMeasured(location, session);
  }
}

async function showBestPlan(location: string, session: PlanningSession): Promise<void> {
  const { options, status } = session;
  const demandModel = await readDemandModel(location, session);
  const request = await requestFor(demandModel, session);
  let best: OffloadPlan;
  let found: string | undefined;
  if (options.context === "max") {
    const { contextLength, plan } = await largestContext(request);
    best = plan;
    const isAll = contextLength === demandModel.model.contextLength;
    found = `longest context that fits: ${contextLength} ${contextLength === 1 ? "token" : "tokens"}${isAll ? ", all that the model was trained for" : ""}`;
  } else if (options.kvType === "max") {
    const { dtype, plan } = await largestKvType(request);
    best = plan;
    found = `most precise keys and values that fit: ${dtype}`;
  } else best = await createPlan(request);
  status.clear();
  await showPlan(best, session, found);
}

async function showComparison([first, second]: readonly string[], { json }: PlanningOptions): Promise<void> {
  const comparison = comparePlans(await readPlan(first!), await readPlan(second!));
  await writeOutput(json ? `${jsonLine(comparison)}\n` : `${formatComparison(comparison, terminalOptions())}\n`);
}

async function showUnits(location: string, session: PlanningSession): Promise<void> {
  const { options, status } = session;
  const demandModel = await readDemandModel(location, session);
  const { settings } = await requestFor(demandModel, session);
  const { units } = demandModel.demandOf(demandDevicesOf(session), settings ?? {});
  status.clear();
  await writeOutput(options.json ? `${jsonLine(units)}\n` : `${formatUnits(units)}\n`);
}

async function showIntermediates(location: string, session: PlanningSession): Promise<void> {
  const { options, status } = session;
  const demandModel = await readDemandModel(location, session);
  const best = await createPlan(await requestFor(demandModel, session));
  const devices = demandDevicesOf(session);
  const intermediates = demandModel.intermediatesOf(devices, best.settings ?? {}, placementOf(best));
  status.clear();
  if (options.json) return writeOutput(`${jsonLine(intermediates)}\n`);
  const nothing = "No graph computes this architecture, so what lives between its commands is not known.";
  await writeOutput(`${intermediates.length === 0 ? nothing : formatIntermediates(intermediates)}\n`);
}
