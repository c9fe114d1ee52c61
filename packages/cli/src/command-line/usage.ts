/** What is wrong with the arguments themselves, and the form in which they ask for errors. */

import { ThermoclineError } from "@thermocline/spec";
import type { Command, CommanderError } from "commander";

/** The arguments cannot be understood. Nothing was opened. */
export class UsageError extends ThermoclineError {
  readonly code = "usage";
}

/** Commander's sentence as a problem of ours, on one line and without its heading. */
export function usageErrorOf({ message }: CommanderError): UsageError {
  const problem = message.replace(/^error: /, "").replace(/\s*\n\s*/g, " ");
  return new UsageError(problem.replace(/\.$/, ""), "add --help to see what can be given");
}

/**
 * Whether `--json` is among the arguments as an option: not as the value of another one, not behind `--`. It is read apart from the
 * parsing because arguments that cannot be parsed have their errors told in the form that they ask for.
 */
export function isJsonAsked(program: Command, args: readonly string[]): boolean {
  const named = program.commands.filter((command) => command.name() === args.find((argument) => !argument.startsWith("-")));
  const options = (named.length > 0 ? named : program.commands).flatMap((command) => command.options);
  for (let index = 0; index < args.length; index++) {
    const argument = args[index];
    if (argument === "--") return false;
    if (argument === "--json") return true;
    if (options.some(({ required, long, short }) => required && (argument === long || argument === short))) index++;
  }
  return false;
}
