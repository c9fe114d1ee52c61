/** The commands, their options and their help. Actions import what they run. */
import { readFileSync } from "node:fs";
import { Command, CommanderError, Option } from "commander";
import { addModelOptions, collect, mostLogprobs, numberIn, wholeNumberIn } from "./options.js";
import { writeOutput } from "./standard-streams.js";
import { usageErrorOf } from "./usage.js";

export function createProgram(): Command {
  const { version, description } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    readonly version: string;
    readonly description: string;
  };
  const program = new Command("thermocline").description(description).version(version);
  // Commands inherit this: what is wrong is thrown, and said where all errors are said.
  program.exitOverride().configureOutput({ outputError: () => {} });
  addRun(program);
  addInspect(program);
  addTokenize(program);
  addLogprobs(program);
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

function example(...lines: readonly string[]): string {
  return `\nExample:\n${lines.map((line) => `  ${line}`).join("\n")}`;
}

function addRun(program: Command): void {
  const run = program
    .command("run")
    .summary("continue a text")
    .description("Continues a text. The answer goes to stdout as it comes, everything else to stderr.")
    .argument("<model>", "a GGUF file; of a sharded model the first file")
    .option("--prompt <text>", "the text (default: stdin, less one newline at its end)")
    .option("--max-tokens <n>", "end after so many tokens (default: when the context is full)", wholeNumberIn({ from: 1 }))
    .option("--temperature <t>", "0: always the most likely token (default: 0.8)", numberIn({ from: 0 }))
    .option("--top-k <k>", "draw from the k most likely tokens; 0: all (default: 40)", wholeNumberIn({ from: 0 }))
    .option("--top-p <p>", "draw from the most likely tokens that sum to p; 1: all (default: 0.95)", numberIn({ above: 0, to: 1 }))
    .option("--min-p <p>", "leave out tokens less likely than p times the likeliest (default: 0.05)", numberIn({ from: 0, below: 1 }))
    .option("--repetition-penalty <r>", "above 1: repeat less (default: 1)", numberIn({ above: 0 }))
    .option("--seed <n>", "equal seeds give equal text (default: a new one each time)", wholeNumberIn({}))
    .addOption(new Option("--stop <text>", "end before this text; may be given several times").argParser(collect))
    .option("--ignore-eos", "go on where the model would end")
    .option(
      "--logprobs <n>",
      "with --json: of each token, and of the n most likely ones, 0 to 20",
      wholeNumberIn({ from: 0, to: mostLogprobs }),
    )
    .option("--stats", "speed, memory by device, and overlap of split layers, at the end on stderr")
    .option("--json", "one event a line on stdout, errors as JSON on stderr");
  addModelOptions(run)
    .addHelpText("after", example("thermocline run model.gguf --prompt 'Once upon a time' --temperature 0 --max-tokens 50 --stats"))
    .action(async (model, options) => (await import("./commands/run.js")).run(model, options));
}

function addInspect(program: Command): void {
  program
    .command("inspect")
    .summary("show what a file says")
    .description("Shows a file's metadata, vocabulary and tensors, of any architecture. Loads no weights.")
    .argument("<model>", "a GGUF file, a vocabulary-only one too")
    .option("--tensors", "list every tensor")
    .option("--json", "one JSON object, with every tensor; arrays longer than 8 as their type, length and first elements")
    .addHelpText("after", example("thermocline inspect model.gguf --tensors"))
    .action(async (model, options) => (await import("./commands/inspect.js")).inspect(model, options));
}

function addTokenize(program: Command): void {
  program
    .command("tokenize")
    .summary("turn text into token ids")
    .description("Turns all of the text on stdin (UTF-8) into token ids: an id and its piece a line. Needs only the vocabulary.")
    .argument("<model>", "a GGUF file, a vocabulary-only one too")
    .option("--special", "recognise special tokens in the text")
    .option("--bos", "put the begin-of-sequence token first")
    .option("--json", "a JSON array of ids")
    .addHelpText("after", example("printf 'Once upon a time' | thermocline tokenize model.gguf --json"))
    .action(async (model, options) => (await import("./commands/tokenize.js")).tokenize(model, options));
}

function addLogprobs(program: Command): void {
  const logprobs = program
    .command("logprobs")
    .summary("score tokens")
    .description(
      'Reads {"promptTokenIds":[…],"steps":n,"top":k} from stdin, with "forcedTokenIds":[…] for tokens that are fed whatever is likely. ' +
        'Writes {"greedyTokenIds":[…],"steps":[[[id, logprob], … k], … n]} with the most likely token of each step, and the k most likely ' +
        "ones with natural-log probabilities.",
    )
    .argument("<model>", "a GGUF file")
    .option("--json", "errors as JSON on stderr (the answer is JSON anyway)");
  addModelOptions(logprobs)
    .addHelpText("after", example(`echo '{"promptTokenIds":[1,9038,2501],"steps":2,"top":3}' | thermocline logprobs model.gguf`))
    .action(async (model, options) => (await import("./commands/logprobs.js")).logprobs(model, options));
}
