import { createMemoryLedger, InvalidRequestError } from "@thermocline/spec";
import { formatTable } from "../../format-table.js";
import { checkGeneratesText } from "../../generates-text.js";
import type { OpenedModel } from "../../open.js";
import { readTextFile } from "../../read-text-file.js";
import { jsonLine } from "../../terminal-text.js";
import { Evaluation, type EvaluationResult } from "../evaluation/evaluation.js";
import { scoreWindow } from "../evaluation/score-window.js";
import { cutWindows, scoredPositions, shortestWindow } from "../evaluation/windows.js";
import { interruptible } from "../interruption.js";
import { withModel } from "../loaded-model.js";
import { type ModelHeader, readModelHeader } from "../model-header.js";
import { tokenizerOf, vocabularyOf } from "../model-vocabulary.js";
import type { ModelOptions } from "../options.js";
import { createProgressBar } from "../progress-bar.js";
import { writeNotice, writeOutput } from "../standard-streams.js";

export interface EvalOptions extends ModelOptions {
  readonly context?: number;
  readonly text: string;
  readonly chunks?: number;
  readonly tokens?: number;
  readonly klAgainst?: string;
}

/** llama.cpp's own, so that published figures compare. */
const usualContextLength = 512;
const defaultBatchTokens = 256;

export async function evaluate(path: string, options: EvalOptions): Promise<void> {
  await interruptible(async (signal) => {
    const header = await readModelHeader(path, signal);
    checkGeneratesText(header.config);
    const contextLength = contextLengthOf(header, options);
    if (options.klAgainst !== undefined) checkVocabularies(header, await readModelHeader(options.klAgainst, signal), options.klAgainst);
    const tokenIds = await readTokens(header, contextLength, options, signal);
    const ledger = createMemoryLedger();
    const batchTokens = options.batchTokens ?? defaultBatchTokens;
    const opening = { ledger, contextLength, maxScoredTokens: Math.min(batchTokens, contextLength), prefixCache: false };
    const measure = (model: OpenedModel, base?: OpenedModel) =>
      measureText({ path, model }, base && { path: options.klAgainst!, model: base }, tokenIds, contextLength, options, signal);
    await withModel(
      path,
      options,
      signal,
      (model) =>
        options.klAgainst === undefined
          ? measure(model)
          : // A plan is for one model.
            withModel(options.klAgainst, { ...options, plan: undefined }, signal, (base) => measure(model, base), opening),
      opening,
    );
  });
}

function contextLengthOf({ config }: ModelHeader, { context = Math.min(usualContextLength, config.contextLength) }: EvalOptions): number {
  if (context >= shortestWindow) return context;
  throw new InvalidRequestError("--context", context, `is ${context}, where no position is scored`, `give at least ${shortestWindow}`);
}

function checkVocabularies(model: ModelHeader, other: ModelHeader, path: string): void {
  const [size, otherSize] = [model.config.vocabSize, other.config.vocabSize];
  if (size === otherSize) return;
  throw new InvalidRequestError(
    "--kl-against",
    path,
    `has a vocabulary of ${otherSize} tokens, the model one of ${size}`,
    "compare models of one vocabulary, such as a model with its quantised form",
  );
}

/** The text's tokens, as many as whole windows take. */
async function readTokens(
  { source }: ModelHeader,
  contextLength: number,
  { text: path, chunks, tokens }: EvalOptions,
  signal: AbortSignal,
): Promise<readonly number[]> {
  if (tokens !== undefined && tokens < contextLength)
    throw new InvalidRequestError("--tokens", tokens, `is ${tokens}, a window takes ${contextLength}`, "ask for more, or lower --context");
  const text = await readTextFile(path, signal);
  const tokenIds = tokenizerOf(source).encode(text, { addBos: vocabularyOf(source).addBos });
  const neededTokens = tokens ?? (chunks ?? 1) * contextLength;
  if (tokenIds.length < neededTokens) {
    const windows =
      chunks === undefined || chunks === 1 ? `a window of ${contextLength} takes` : `${chunks} windows of ${contextLength} take`;
    throw new InvalidRequestError(
      "--text",
      path,
      `has ${tokenIds.length} tokens, ${tokens === undefined ? windows : "--tokens asks for"} ${neededTokens}`,
      "give a longer text, or lower --context, --chunks or --tokens",
    );
  }
  return tokenIds.slice(0, tokens ?? (chunks === undefined ? undefined : neededTokens));
}

interface MeasuredModel {
  readonly path: string;
  readonly model: OpenedModel;
}

async function measureText(
  measuredModel: MeasuredModel,
  baseModel: MeasuredModel | undefined,
  tokenIds: readonly number[],
  contextLength: number,
  options: EvalOptions,
  signal: AbortSignal,
): Promise<void> {
  const { model } = measuredModel;
  const evaluation = new Evaluation();
  const windowCount = Math.floor(tokenIds.length / contextLength);
  const bar = process.stderr.isTTY && !options.json ? createProgressBar(process.stderr, "scoring") : undefined;
  const startedAtMs = performance.now();
  const elapsedMs = () => performance.now() - startedAtMs;
  let windows = 0;
  for (const window of cutWindows(tokenIds, contextLength, vocabularyOf(model.source))) {
    await scoreWindow(window, model, baseModel?.model, evaluation, signal);
    if (signal.aborted) break;
    windows++;
    bar?.update(windows / windowCount, runningText(evaluation, windows, windowCount, elapsedMs()));
  }
  bar?.clear();
  if (evaluation.scoredTokens === 0) return;
  const measured = { contextLength, windows, windowCount, elapsedMs: elapsedMs(), isComplete: windows === windowCount };
  const result = evaluation.result();
  if (options.json) {
    const identify = ({ path, model: { name, identity } }: MeasuredModel) => ({ name, identity, file: path });
    const { against, ...figures } = result;
    const compared = against && baseModel && { against: { model: identify(baseModel), ...against } };
    await writeOutput(`${jsonLine({ model: identify(measuredModel), text: options.text, ...measured, ...figures, ...compared })}\n`);
    return;
  }
  if (!measured.isComplete) writeNotice(`interrupted after ${windows} of ${windowCount} windows`);
  await writeOutput(`${formatResult(measuredModel, baseModel, result, measured)}\n`);
}

function runningText({ perplexity }: Evaluation, windows: number, windowCount: number, elapsedMs: number): string {
  const leftSeconds = ((elapsedMs / windows) * (windowCount - windows)) / 1000;
  const left = leftSeconds >= 90 ? `${Math.round(leftSeconds / 60)} min` : `${Math.round(leftSeconds)} s`;
  const { value, standardError } = perplexity;
  return `${windows} of ${windowCount} windows, perplexity ${value.toFixed(4)} ± ${standardError.toFixed(4)}, ${left} left`;
}

function formatResult(
  model: MeasuredModel,
  base: MeasuredModel | undefined,
  { scoredTokens, perplexity, against }: EvaluationResult,
  { contextLength, windows, elapsedMs }: { readonly contextLength: number; readonly windows: number; readonly elapsedMs: number },
): string {
  const figure = ({ value, standardError }: { readonly value: number; readonly standardError: number }, digits: number) =>
    `${value.toFixed(digits)} ± ${standardError.toFixed(digits)}`;
  const shown = ({ path, model: { name } }: MeasuredModel) => `${name}, ${path}`;
  const percent = (share: number) => `${(share * 100).toFixed(2)} %`;
  const positions = scoredPositions(contextLength);
  const rows = [
    ["model", shown(model)],
    [
      "scored",
      `${scoredTokens} tokens, ${positions} of each ${contextLength} in ${windows} windows, in ${(elapsedMs / 1000).toFixed(1)} s`,
    ],
    ["perplexity", figure(perplexity, 4)],
  ];
  if (against !== undefined && base !== undefined) {
    const { divergence, sameTopToken } = against;
    rows.push(
      ["against", shown(base)],
      ["its perplexity", figure(against.perplexity, 4)],
      ["perplexity ratio", figure(against.perplexityRatio, 6)],
      ["KL divergence", `${figure(divergence, 6)} nats`],
      ["median", divergence.median.toFixed(6)],
      ["99th percentile", divergence.percentile99.toFixed(6)],
      ["maximum", divergence.maximum.toFixed(6)],
      ["same top token", `${percent(sameTopToken.value)} ± ${percent(sameTopToken.standardError)}`],
    );
  }
  return formatTable(rows);
}
