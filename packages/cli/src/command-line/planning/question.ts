/** Which question `plan` is asked, and whether its options belong together: known before a file is opened. */
import { InvalidRequestError } from "@thermocline/spec";
import type { PlanningOptions } from "../../planning/planning-options.js";

export type Question = "plan" | "curve" | "target" | "choose" | "together" | "units" | "intermediates" | "compare" | "measure";

type OptionName = keyof PlanningOptions;

/** Options that ask something else than for a plan. */
const optionsOfQuestion: readonly (readonly [Exclude<Question, "plan">, readonly OptionName[]])[] = [
  ["curve", ["curve", "curveSizes"]],
  ["target", ["minTokensPerSecond", "maxTtft"]],
  ["choose", ["choose"]],
  ["together", ["together"]],
  ["units", ["units"]],
  ["intermediates", ["intermediates"]],
  ["compare", ["compare"]],
  ["measure", ["measure"]],
];

/** Questions whose answer is a plan, or has one. */
const plansOf: readonly Question[] = ["plan", "target", "choose", "measure"];

const flagOf = (name: OptionName) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** @throws InvalidRequestError where two questions are asked, or options and models do not fit the one. */
export function questionOf(models: readonly string[], options: PlanningOptions): Question {
  const isGiven = (name: OptionName) => options[name] !== undefined && options[name] !== false;
  const asked = optionsOfQuestion.flatMap(([question, names]) => {
    const given = names.filter(isGiven);
    return given.length === 0 ? [] : [{ question, flag: flagOf(given[0]!) }];
  });
  const [first, second] = asked;
  if (first !== undefined && second !== undefined) throw beside(second.flag, first.flag, "ask one question at a time");
  const question = first?.question ?? "plan";
  checkNumberOfModels(question, models, first?.flag);
  if (options.claim !== undefined && question !== "together")
    throw new InvalidRequestError("--claim", Object.keys(options.claim), "belongs to --together", "add --together, or use --budget");
  for (const name of ["out", "svg", "explain", "why"] as const)
    if (isGiven(name) && !plansOf.includes(question)) throw beside(flagOf(name), first!.flag, "leave one of the two out");
  if (options.context === "max" && options.kvType === "max")
    throw new InvalidRequestError("--kv-type", "max", "was given beside --context max", "fix one of the two, and the other is found");
  if (options.kvBudget !== undefined && options.context === "max")
    throw new InvalidRequestError("--kv-budget", options.kvBudget, "was given beside --context max", "leave one of the two out");
  if (options.kvType === "max" && (options.kvTypeK !== undefined || options.kvTypeV !== undefined))
    throw new InvalidRequestError("--kv-type", "max", "was given beside a type of keys or values", "leave one of the two out");
  return question;
}

function beside(flag: string, other: string, cure: string): InvalidRequestError {
  return new InvalidRequestError(flag, true, `was given beside ${other}`, cure);
}

function checkNumberOfModels(question: Question, models: readonly string[], flag = ""): void {
  const [least, most, what] = {
    compare: [2, 2, "two plans"] as const,
    choose: [2, Number.POSITIVE_INFINITY, "several models"] as const,
    together: [2, Number.POSITIVE_INFINITY, "several models"] as const,
  }[question as "compare"] ?? [1, 1, "one model"];
  if (models.length >= least && models.length <= most) return;
  const problem = `${models.length} ${models.length === 1 ? "was" : "were"} given, ${flag === "" ? "a plan" : flag} takes ${what}`;
  const cure = question === "plan" ? "name one model, or add --choose or --together" : `name ${what}`;
  throw new InvalidRequestError(question === "compare" ? "plans" : "models", models.length, problem, cure);
}
