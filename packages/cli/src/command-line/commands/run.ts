import { type EngineStatistics, type GenerateUsage, InvalidRequestError } from "@thermocline/spec";
import { formatMemory } from "../../format-memory.js";
import type { OpenedModel } from "../../open.js";
import { escapeControls, jsonLine } from "../../terminal-text.js";
import { formatDecodeSpeed, writeAnswerEvent } from "../answer-output.js";
import { interruptible } from "../interruption.js";
import { withModel } from "../loaded-model.js";
import type { ModelOptions } from "../options.js";
import { type SamplingOptions, samplingOf } from "../sampling-options.js";
import { readInput, writeNotice, writeOutput } from "../standard-streams.js";

export interface RunOptions extends ModelOptions, SamplingOptions {
  readonly prompt?: string;
  readonly maxTokens?: number;
  readonly stop?: readonly string[];
  readonly ignoreEos?: boolean;
  readonly logprobs?: number;
  readonly stats?: boolean;
}

const endedAtOnce =
  "note: the model ended the text at once; --ignore-eos goes on past that, and chat asks in the format that the model was taught";

export async function run(path: string, options: RunOptions): Promise<void> {
  if (options.logprobs !== undefined && !options.json)
    throw new InvalidRequestError("--logprobs", options.logprobs, "log-probabilities are shown in JSON only", "add --json");
  await interruptible(async (signal) => {
    const prompt =
      options.prompt ?? withoutFinalNewline(await readInput("a prompt", "use --prompt TEXT, or pipe the text to stdin", signal));
    // Known before the weights are loaded, which may take minutes.
    if (prompt === "") throw new InvalidRequestError("prompt", "", "is empty", "give a prompt of at least one token");
    const opening = { trace: options.stats === true };
    await withModel(path, options, signal, (model) => stream(model, prompt, options, signal), opening);
  });
}

async function stream(model: OpenedModel, prompt: string, options: RunOptions, signal: AbortSignal): Promise<void> {
  const { maxTokens, stop, ignoreEos, logprobs, logitBias, minTokens, json, stats } = options;
  const sampling = samplingOf(options);
  const events = model.generate({ prompt, sampling, maxTokens, stop, ignoreEos, logprobs, logitBias, minTokens }, { signal });
  let usage: GenerateUsage | undefined;
  let isEmpty = true;
  for await (const event of events) {
    if (event.type === "end") usage = event.usage;
    else isEmpty = false;
    await writeAnswerEvent(event, json === true);
    if (event.type === "end" && !json && process.stdout.isTTY) await writeOutput("\n");
    if (event.type === "end" && event.reason === "stop" && isEmpty && stop === undefined && !json) writeNotice(endedAtOnce);
  }
  if (!stats || usage === undefined) return;
  const statistics = model.statistics();
  if (json) await writeOutput(`${jsonLine({ type: "statistics", statistics, memory: model.memory() })}\n`);
  else writeNotice(formatStatistics(model, usage, statistics));
}

function formatStatistics(model: OpenedModel, usage: GenerateUsage, { steps, overlap }: EngineStatistics): string {
  const { promptTokens, completionTokens, timeToFirstTokenMs, decodeMs } = usage;
  const lines = [
    "",
    `${escapeControls(model.name)}: ${promptTokens} prompt tokens, ${completionTokens} generated, ${steps} steps`,
    `first token after ${timeToFirstTokenMs.toFixed(1)} ms, then ${formatDecodeSpeed(completionTokens, decodeMs)}`,
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
