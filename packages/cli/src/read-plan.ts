import { readFile } from "node:fs/promises";
import { parsePlan } from "@thermocline/solver";
import { FileAccessError, type OffloadPlan } from "@thermocline/spec";

const problems: Readonly<Record<string, string>> = {
  ENOENT: "does not exist",
  EACCES: "may not be read",
  EISDIR: "is a directory",
};

/** A plan as it is, or from a JSON file. @throws FileAccessError, InvalidPlanError. */
export async function readPlan(plan: OffloadPlan | string): Promise<OffloadPlan> {
  if (typeof plan !== "string") return parsePlan(plan);
  const json = await readFile(plan, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new FileAccessError(plan, problems[cause.code ?? ""] ?? `cannot be read: ${cause.message}`, { cause });
  });
  return parsePlan(json);
}
