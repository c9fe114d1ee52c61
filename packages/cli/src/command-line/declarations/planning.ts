/** The command that says where a model would lie, and how fast it would be: plan. */
import type { StrategyName } from "@thermocline/solver";
import { type Command, Option } from "commander";
import {
  byteSize,
  byteSizes,
  collectClaim,
  collectDeviceSize,
  collectPin,
  duration,
  numberIn,
  wholeNumberIn,
  wholeNumberOrMax,
} from "../option-values.js";
import { kvBudgetForms, kvTypes } from "../options.js";
import { exampleText } from "./example-text.js";

const positive = wholeNumberIn({ from: 1 });
const count = wholeNumberIn({ from: 0 });

const machineOptions = () => [
  new Option(
    "--machine <name>",
    'parts joined by +, such as "rtx4090+ddr5-6000", or a profile that doctor --calibrate wrote (default: this machine)',
  ),
  new Option("--vram <sizes>", "a machine with GPUs of this memory each, such as 8GiB or 24GiB,12GiB; 0B: none").argParser(byteSizes),
  new Option("--ram <size>", "main memory of the machine (default: this machine's)").argParser(byteSize),
  new Option("--budget <device=size>", "use at most so much of a device; for each device once").argParser(collectDeviceSize),
  new Option("--reserve <device=size>", "of a device's budget, bytes that always stay free; for each device once").argParser(
    collectDeviceSize,
  ),
];

const memoryOptions = () => [
  new Option(
    "--context <tokens>",
    "longest prompt and answer together; max: the longest that fits (default: the model's, at most 4096)",
  ).argParser(wholeNumberOrMax({ from: 1 })),
  new Option("--sequences <n>", "requests served at once (default: 1)").argParser(positive),
  new Option("--batch-tokens <n>", "tokens in one step, at most: the pieces of a prompt (default: 256)").argParser(positive),
  new Option("--kv-type <type>", "type of cached keys and values; max: the most precise that fits (default: f16)").choices([
    ...kvTypes,
    "max",
  ]),
  new Option("--kv-type-k <type>", "of keys alone").choices(kvTypes),
  new Option("--kv-type-v <type>", "of values alone").choices(kvTypes),
  new Option("--kv-budget <budget>", `memory of the KV cache: ${kvBudgetForms}`),
];

const workloadOptions = () => [
  new Option("--prompt-tokens <n>", "tokens of each prompt (default: 512, or what the context holds)").argParser(count),
  new Option("--output-tokens <n>", "tokens of each answer (default: 256, or what the context holds)").argParser(count),
  new Option("--depth <n>", "tokens that are in the cache before (default: 0)").argParser(count),
  new Option("--batch <n>", "requests that run together (default: 1)").argParser(positive),
];

const placementOptions = () => [
  new Option("--pin <pattern=device>", "units that shall lie on a device, 'blk.(0|1).attn=cuda:0'; may be given several times").argParser(
    collectPin,
  ),
  new Option("--max-gpu-layers <n>", "at most so many layers, the last ones, on GPUs").argParser(count),
  new Option("--cpu-experts", "experts on CPUs only"),
  new Option("--solver <name>", "how placements are searched; auto: exact where that is quick")
    .choices(["auto", "greedy", "exact"])
    .default("auto"),
  new Option("--strategy <name>", "plan: the best that is found; or one of its rivals").choices(strategies).default("plan"),
];

const strategies: readonly StrategyName[] = ["plan", "whole-layer", "ffn-first", "one-device", "autosplit"];

const questionOptions = () => [
  new Option("--min-tokens-per-second <n>", "the least memory of the GPU that decodes so fast").argParser(numberIn({ above: 0 })),
  new Option("--max-ttft <time>", "the least memory of the GPU with the first token of a prompt after 2s, 800ms").argParser(duration),
  new Option("--curve", "speed over sizes of the GPU's memory: what more of it would buy"),
  new Option("--curve-sizes <sizes>", "the sizes, 4GiB,8GiB,12GiB").argParser(byteSizes),
  new Option("--choose", "which of several files of a model to take"),
  new Option("--together", "several models on the machine at once, each with a claim of its own"),
  new Option(
    "--claim <model=share>",
    "with --together: a model's part of each GPU, chat=12GiB or chat=40% (default: by the size of the weights)",
  ).argParser(collectClaim),
  new Option("--why", "why so much memory is used"),
  new Option("--units", "list the units that pins name"),
  new Option("--intermediates", "list what lives between the commands of a step, with bytes and uses"),
  new Option("--compare", "the two arguments are plans: what differs between them"),
  new Option("--measure", "try the best placements on this machine and keep the fastest"),
];

const outputOptions = () => [
  new Option("--explain", "tables and bars by device and layer"),
  new Option("--svg <file>", "draw the memory map"),
  new Option("--out <file>", "write the plan, for --plan of other commands"),
  new Option("--json", "the plan, or the answer, as JSON"),
];

export function addPlan(program: Command): void {
  const plan = program
    .command("plan")
    .summary("say where a model would lie, and how fast it would be")
    .description(
      "Plans where every unit of a model lies on a machine, from the file's header alone: what memory it takes to the byte, what limits it, and " +
        "how fast it is predicted to be. Loads no weights and needs no GPU.",
    )
    .argument("<models...>", "a GGUF file or its address; several with --choose and --together; two plans with --compare");
  const groups = {
    "Machine:": machineOptions(),
    "Memory:": memoryOptions(),
    "Workload:": workloadOptions(),
    "Placement:": placementOptions(),
    "Questions:": questionOptions(),
    "Output:": outputOptions(),
  };
  for (const [group, options] of Object.entries(groups)) for (const option of options) plan.addOption(option.helpGroup(group));
  plan
    .addHelpText(
      "after",
      exampleText(
        "thermocline plan model.gguf --vram 8GiB --ram 32GiB --context 4096",
        "thermocline plan model.gguf --machine rtx4090+ddr5-6000 --context max --explain",
        "thermocline plan model.gguf --pin 'blk.(0|1).attn=cuda:0' --out model.plan.json --svg model.svg",
        "thermocline plan q8.gguf q4.gguf --vram 12GiB --choose",
      ),
    )
    .action(async (models, options) => (await import("../commands/plan.js")).plan(models, options));
}
