/** The commands that look at files and texts: inspect, tokenize. */
import type { Command } from "commander";
import { exampleText } from "./example-text.js";

export function addInspect(program: Command): void {
  program
    .command("inspect")
    .summary("show what a file says")
    .description("Shows a file's metadata, vocabulary and tensors, of any architecture. Loads no weights.")
    .argument("<model>", "a GGUF file, a vocabulary-only one too")
    .option("--tensors", "list every tensor")
    .option("--json", "one JSON object, with every tensor; arrays longer than 8 as their type, length and first elements")
    .addHelpText("after", exampleText("thermocline inspect model.gguf --tensors"))
    .action(async (model, options) => (await import("../commands/inspect.js")).inspect(model, options));
}

export function addTokenize(program: Command): void {
  program
    .command("tokenize")
    .summary("turn text into token ids")
    .description("Turns all of the text on stdin (UTF-8) into token ids: an id and its piece a line. Needs only the vocabulary.")
    .argument("<model>", "a GGUF file, a vocabulary-only one too")
    .option("--special", "recognise special tokens in the text")
    .option("--bos", "put the begin-of-sequence token first")
    .option("--json", "a JSON array of ids")
    .addHelpText("after", exampleText("printf 'Once upon a time' | thermocline tokenize model.gguf --json"))
    .action(async (model, options) => (await import("../commands/tokenize.js")).tokenize(model, options));
}
