/** The commands that make text: run, chat, logprobs. */
import { type Command, Option } from "commander";
import { collect, wholeNumberIn } from "../option-values.js";
import { addModelOptions, mostLogprobs } from "../options.js";
import { addSamplingOptions } from "../sampling-options.js";
import { exampleText } from "./example-text.js";

const maxTokens = (help: string) => new Option("--max-tokens <n>", help).argParser(wholeNumberIn({ from: 1 }));
const stop = () => new Option("--stop <text>", "end before this text; may be given several times").argParser(collect);

export function addRun(program: Command): void {
  const run = program
    .command("run")
    .summary("continue a text")
    .description("Continues a text. The answer goes to stdout as it comes, everything else to stderr.")
    .argument("<model>", "a GGUF file; of a sharded model the first file")
    .option("--prompt <text>", "the text (default: stdin, less one newline at its end)")
    .addOption(maxTokens("end after so many tokens (default: when the context is full)"))
    .addOption(stop())
    .option("--ignore-eos", "go on where the model would end")
    .option(
      "--logprobs <n>",
      "with --json: of each token, and of the n most likely ones, 0 to 20",
      wholeNumberIn({ from: 0, to: mostLogprobs }),
    )
    .option("--stats", "speed, memory by device, and overlap of split layers, at the end on stderr")
    .option("--json", "one event a line on stdout, errors as JSON on stderr");
  addModelOptions(addSamplingOptions(run))
    .addHelpText("after", exampleText("thermocline run model.gguf --prompt 'Once upon a time' --temperature 0 --max-tokens 50 --stats"))
    .action(async (model, options) => (await import("../commands/run.js")).run(model, options));
}

export function addChat(program: Command): void {
  const chat = program
    .command("chat")
    .summary("talk with a model")
    .description(
      "Talks with a model in turns, in the format that its file names. Answers go to stdout, everything else to stderr. On a terminal " +
        "/help lists the commands; piped in, each line is a turn. Ctrl-C stops an answer and keeps the chat.",
    )
    .argument("<model>", "a GGUF file; of a sharded model the first file")
    .option("--system <text>", "what the model is told before everything else")
    .option("--load <file>", "go on with a chat that /save has written")
    .option("--template <name>", "the chat's format: a built-in one, or a Jinja file (default: the model's own)")
    .addOption(maxTokens("end each answer after so many tokens (default: when the context is full)"))
    .addOption(stop())
    .option("--json", "one event a line on stdout, notices and errors as JSON on stderr");
  addModelOptions(addSamplingOptions(chat))
    .addHelpText(
      "after",
      exampleText(
        "thermocline chat model.gguf --system 'Answer in one sentence.'",
        "printf 'What is a lake?\\nAnd a sea?\\n' | thermocline chat model.gguf --temperature 0",
      ),
    )
    .action(async (model, options) => (await import("../commands/chat.js")).chat(model, options));
}

export function addLogprobs(program: Command): void {
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
    .addHelpText("after", exampleText(`echo '{"promptTokenIds":[1,9038,2501],"steps":2,"top":3}' | thermocline logprobs model.gguf`))
    .action(async (model, options) => (await import("../commands/logprobs.js")).logprobs(model, options));
}
