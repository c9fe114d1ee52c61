import { parsePlan } from "@thermocline/solver";
import type { OffloadPlan } from "@thermocline/spec";
import { readTextFile } from "./read-text-file.js";

/** A plan as it is, or from a JSON file. @throws FileAccessError, InvalidPlanError. */
export async function readPlan(plan: OffloadPlan | string): Promise<OffloadPlan> {
  return parsePlan(typeof plan === "string" ? await readTextFile(plan) : plan);
}
