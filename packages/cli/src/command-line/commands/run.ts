import { type EngineStatistics, type GenerateUsage, InvalidRequestError, type SamplingParams } from "@thermocline/spec";
import { formatMemory } from "../../format-memory.js";
import type { OpenedModel } from "../../open.js";
import { escapeControls, jsonLine } from "../../terminal-text.js";
import { interruptible } from "../interruption.js";
import { withModel } from "../loaded-model.js";
import type { ModelOptions } from "../options.js";
import { readInput, writeNotice, writeOutput } from "../standard-streams.js";

export interface RunOptions extends ModelOptions, Partial<SamplingParams> {
  readonly prompt?: string;
  readonly maxTokens?: number;
  readonly stop?: readonly string[];
  readonly ignoreEos?: boolean;
  readonly logprobs?: number;
  readonly stats?: boolean;
}

const samplingNames = ["temperature", "topK", "topP", "minP", "repetitionPenalty", "seed"] as const;

export async function run(path: string, options: RunOptions): Promise<void> {
  if (options.logprobs !== undefined && !options.json)
    throw new InvalidRequestError("--logprobs", options.logprobs, "log-probabilities are shown in JSON only", "add --json");
  await interruptible(async (signal) => {
    const prompt =
      options.prompt ?? withoutFinalNewline(await readInput("a prompt", "use --prompt TEXT, or pipe the text to stdin", signal));
    // Known before the weights are loaded, which may take minutes.
    if (prompt === "") throw new InvalidRequestError("prompt", "", "is empty", "give a prompt of at least one token");
    await withModel(path, { ...options, trace: options.stats === true }, signal, (model) => stream(model, prompt, options, signal));
  });
}

async function stream(model: OpenedModel, prompt: string, options: RunOptions, signal: AbortSignal): Promise<void> {
  const { maxTokens, stop, ignoreEos, logprobs, json, stats } = options;
  const sampling = Object.fromEntries(samplingNames.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])));
  const events = model.generate({ prompt, sampling, maxTokens, stop, ignoreEos, logprobs }, { signal });
  let usage: GenerateUsage | undefined;
  for await (const event of events) {
    if (event.type === "end") usage = event.usage;
    if (json) await writeOutput(`${jsonLine(event)}\n`);
    else if (event.type === "text-delta") await writeOutput(event.text);
    else if (process.stdout.isTTY) await writeOutput("\n");
  }
  if (!stats || usage === undefined) return;
  const statistics = model.statistics();
  if (json) await writeOutput(`${jsonLine({ type: "statistics", statistics, memory: model.memory() })}\n`);
  else writeNotice(formatStatistics(model, usage, statistics));
}

function formatStatistics(model: OpenedModel, usage: GenerateUsage, { steps, overlap }: EngineStatistics): string {
  const { promptTokens, completionTokens, timeToFirstTokenMs, decodeMs } = usage;
  // The first token belongs to the prompt's step.
  const decoded = completionTokens - 1;
  const speed = decoded > 0 && decodeMs > 0 ? `${((decoded * 1000) / decodeMs).toFixed(1)} tok/s` : "too short to time";
  const lines = [
    "",
    `${escapeControls(model.name)}: ${promptTokens} prompt tokens, ${completionTokens} generated, ${steps} steps`,
    `first token after ${timeToFirstTokenMs.toFixed(1)} ms, then ${speed}`,
  ];
  if (overlap !== undefined) {
    const { overlappedMs, shorterLegMs } = overlap;
    const share = ((overlappedMs / shorterLegMs) * 100).toFixed(0);
    lines.push(`split layers: both devices at work for ${overlappedMs.toFixed(1)} of at most ${shorterLegMs.toFixed(1)} ms (${share} %)`);
  }
  return [...lines, formatMemory(model.memory())].join("\n");
}

/** `echo text | …` means the text; a prompt that shall end with a newline is given with one more, or with --prompt. */
function withoutFinalNewline(text: string): string {
  return text.replace(/\r?\n$/, "");
}
