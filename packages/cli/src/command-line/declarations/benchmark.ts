/** The command that measures speed: bench. */
import { type Command, Option } from "commander";
import { wholeNumberIn, wholeNumbersIn } from "../option-values.js";
import { addModelOptions } from "../options.js";
import { exampleText } from "./example-text.js";

export function addBench(program: Command): void {
  const count = wholeNumberIn({ from: 0 });
  const bench = program
    .command("bench")
    .summary("measure speed")
    .description(
      "Measures prefill and decode apart: medians over repetitions, after one to warm up. Decode reads every active weight once a token, so " +
        "its bytes a second are shown beside what the same threads read from memory in the same run.",
    )
    .argument("<model>", "a GGUF file")
    .addOption(new Option("--prompt <n>", "tokens of prefill; 0: none (default: 512, or what the context holds)").argParser(count))
    .addOption(new Option("--generate <n>", "tokens of decode; 0: none (default: 64)").argParser(count))
    .addOption(new Option("--depth <n>", "tokens that are in the cache before").argParser(count).default(0))
    .addOption(
      new Option(
        "--threads <n,…>",
        "threads of the CPU backend, several to compare (default: as many as the machine runs at once)",
      ).argParser(wholeNumbersIn({ from: 1 })),
    )
    .addOption(new Option("--repetitions <n>", "measurements of each").argParser(wholeNumberIn({ from: 1 })).default(5))
    .option("--json", "the result as JSON, with the conditions");
  addModelOptions(bench, { threads: false, context: false })
    .addHelpText("after", exampleText("thermocline bench model.gguf --prompt 512 --generate 64 --depth 1024 --threads 1,2"))
    .action(async (model, options) => (await import("../commands/bench.js")).bench(model, options));
}
