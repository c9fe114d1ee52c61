/** The command that measures quality: eval. */
import { type Command, Option } from "commander";
import { wholeNumberIn } from "../option-values.js";
import { addModelOptions } from "../options.js";
import { exampleText } from "./example-text.js";

export function addEval(program: Command): void {
  const positive = wholeNumberIn({ from: 1 });
  const evaluation = program
    .command("eval")
    .summary("measure how well a model predicts a text")
    .description(
      "Measures perplexity as llama.cpp does, so that figures compare: windows of --context tokens, the second half of each scored. With " +
        "--kl-against also how far the model's distributions are from another one's. Ctrl-C shows what was measured so far.",
    )
    .argument("<model>", "a GGUF file")
    .requiredOption("--text <file>", "the text, UTF-8")
    .addOption(new Option("--chunks <n>", "windows that are scored (default: all)").argParser(positive).conflicts("tokens"))
    .option("--tokens <n>", "only the first so many tokens of the text", positive)
    .option("--kl-against <model>", "the model whose distributions are the measure, such as the one that was quantised")
    .option("--json", "the result as JSON");
  addModelOptions(evaluation, { context: "tokens of a window (default: 512, or the model's context where that is shorter)" })
    .addHelpText("after", exampleText("thermocline eval model.gguf --text wiki.test.raw --chunks 40 --kl-against original.gguf"))
    .action(async (model, options) => (await import("../commands/eval.js")).evaluate(model, options));
}
