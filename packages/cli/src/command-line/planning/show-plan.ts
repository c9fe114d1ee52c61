/** A plan in the forms that were asked for. */
import { drawPlan, explainMemory, explainPlan } from "@thermocline/solver";
import type { OffloadPlan } from "@thermocline/spec";
import { summarizePlan } from "../../planning/plan-summary.js";
import { jsonLine } from "../../terminal-text.js";
import { writeTextFile } from "../../write-text-file.js";
import { writeNotice, writeOutput } from "../standard-streams.js";
import type { PlanningSession } from "./planning-session.js";

const widestText = 120;

/** `answer` comes before the plan: what was found. With --json stdout gets `json`: the plan, unless the answer is more than that. */
export async function showPlan(
  plan: OffloadPlan,
  { options, planned }: PlanningSession,
  answer?: string,
  json: unknown = plan,
): Promise<void> {
  const devices = planned.machine.devices.map(({ id }) => id);
  const { out, svg, explain, why } = options;
  // Files first: what stdout says is then true.
  if (out !== undefined) await writeTextFile(out, `${JSON.stringify(plan, null, 2)}\n`);
  if (svg !== undefined) await writeTextFile(svg, drawPlan(plan));
  if (options.json) return writeOutput(`${jsonLine(json)}\n`);
  const texts = [
    ...(answer === undefined ? [] : [answer]),
    ...(why ? [explainMemory(plan)] : []),
    ...(explain ? [explainPlan(plan, terminalOptions())] : why ? [] : [summarizePlan(plan, devices)]),
  ];
  await writeOutput(`${texts.join("\n\n")}\n`);
  for (const path of [out, svg]) if (path !== undefined) writeNotice(`note: written to ${path}`);
}

/** Colours and blocks on a terminal that shows them, plain text elsewhere. */
export function terminalOptions(): { readonly width: number; readonly colour: boolean } {
  const { isTTY, columns = 100 } = process.stdout;
  return { width: Math.min(widestText, isTTY ? columns : 100), colour: isTTY === true && !process.env.NO_COLOR };
}
