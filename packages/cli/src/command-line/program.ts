/** The commands, and the parsing of arguments. Actions import what they run. */
import { Command, CommanderError } from "commander";
import { addBench } from "./declarations/benchmark.js";
import { addDoctor } from "./declarations/doctor.js";
import { addEmbed } from "./declarations/embedding.js";
import { addEval } from "./declarations/evaluation.js";
import { addChat, addLogprobs, addRun } from "./declarations/generation.js";
import { addInspect, addTokenize } from "./declarations/inspection.js";
import { addPlan } from "./declarations/planning.js";
import { packageDescription, packageVersion } from "./package-manifest.js";
import { writeOutput } from "./standard-streams.js";
import { usageErrorOf } from "./usage.js";

export function createProgram(): Command {
  const program = new Command("thermocline").description(packageDescription).version(packageVersion);
  // Commands inherit this: what is wrong is thrown, and said where all errors are said.
  program.exitOverride().configureOutput({ outputError: () => {} });
  const additions = [addRun, addChat, addPlan, addInspect, addTokenize, addEmbed, addEval, addBench, addLogprobs, addDoctor];
  for (const add of additions) add(program);
  return program;
}

/**
 * Does what the arguments ask, without those of Node.
 * @throws UsageError where they cannot be understood; whatever the command throws.
 */
export async function runProgram(program: Command, args: readonly string[]): Promise<void> {
  let help = "";
  for (const command of [program, ...program.commands]) {
    command.configureOutput({
      writeOut: (text) => {
        help += text;
      },
    });
  }
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help that was asked for ends the parsing too; help for want of a command has gone to stderr.
    if (error.exitCode === 0) await writeOutput(help);
    else if (error.code === "commander.help") process.exitCode = error.exitCode;
    else throw usageErrorOf(error);
  }
}
