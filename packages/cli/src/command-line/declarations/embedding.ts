/** The command that makes vectors: embed. */
import type { Command } from "commander";
import { addModelOptions } from "../options.js";
import { exampleText } from "./example-text.js";

export function addEmbed(program: Command): void {
  const embed = program
    .command("embed")
    .summary("turn texts into vectors")
    .description("Prints a unit vector for each text: a JSON array a line, in the order of the texts. Needs a model of embeddings.")
    .argument("<model>", "a GGUF file")
    .argument("[text...]", "the texts (default: the lines of stdin)")
    .option("--file <path>", "the texts from a file, one a line")
    .option("--json", "errors as JSON on stderr (the answer is JSON anyway)");
  addModelOptions(embed, { context: "longest text in tokens (default: the model's)", keyValueCache: false })
    .addHelpText("after", exampleText("thermocline embed model.gguf 'a lake in summer' 'a sea in winter'"))
    .action(async (model, texts, options) => (await import("../commands/embed.js")).embed(model, texts, options));
}
