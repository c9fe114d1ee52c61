/** The command that looks at the machine. */
import type { Command } from "commander";
import { exampleText } from "./example-text.js";

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .summary("say what this machine has and lacks, and measure it")
    .description(
      "Says what this machine has, what it cannot do and why, and what helps. With --calibrate it measures, in half a minute, what plans need to " +
        "know of the machine, and keeps it in the user's cache folder. Nothing else should run meanwhile.",
    )
    .option("--calibrate", "measure, and keep the figures for plans")
    .option("--json", "one JSON object; with --calibrate it holds the profile")
    .addHelpText("after", exampleText("thermocline doctor --calibrate"))
    .action(async (options) => (await import("../commands/doctor.js")).doctor(options));
}
