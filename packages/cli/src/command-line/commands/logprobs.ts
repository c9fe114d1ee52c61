import { InvalidRequestError, type TokenLogprobs } from "@thermocline/spec";
import type { OpenedModel } from "../../open.js";
import { interruptible } from "../interruption.js";
import { withModel } from "../loaded-model.js";
import { type ModelOptions, mostLogprobs } from "../options.js";
import { readInput, writeOutput } from "../standard-streams.js";

interface LogprobsRequest {
  readonly promptTokenIds: readonly number[];
  readonly steps: number;
  readonly top: number;
  readonly forcedTokenIds?: readonly number[];
}

const exampleRequest = '{"promptTokenIds":[1,9038],"steps":4,"top":5}';

export async function logprobs(path: string, options: ModelOptions): Promise<void> {
  await interruptible(async (signal) => {
    const request = parseRequest(await readInput("a request", `pipe JSON such as ${exampleRequest} to stdin`, signal));
    const answer = await withModel(path, options, signal, (model) => score(model, request, signal));
    await writeOutput(`${JSON.stringify(answer)}\n`);
  });
}

async function score(model: OpenedModel, { promptTokenIds, steps, top, forcedTokenIds }: LogprobsRequest, signal: AbortSignal) {
  const room = model.contextLength - promptTokenIds.length;
  if (promptTokenIds.length < model.contextLength && steps > room)
    throw new InvalidRequestError(
      "steps",
      steps,
      `is ${steps}, after ${promptTokenIds.length} prompt tokens the context of ${model.contextLength} holds ${room} more`,
      "ask for fewer steps or raise the context length",
    );
  const scored: TokenLogprobs[] = [];
  const request = {
    prompt: promptTokenIds,
    sampling: { temperature: 0, seed: 0 },
    maxTokens: steps,
    logprobs: top,
    ignoreEos: true,
    forcedTokenIds: forcedTokenIds?.slice(0, steps),
  };
  for await (const event of model.generate(request, { signal })) if (event.type === "text-delta") scored.push(...(event.logprobs ?? []));
  return { greedyTokenIds: scored.map((step) => step.tokenId), steps: scored.map((step) => step.top) };
}

/** @throws InvalidRequestError naming the field. */
export function parseRequest(text: string): LogprobsRequest {
  const refuse = (field: string, value: unknown, problem: string): never => {
    throw new InvalidRequestError(field, value, problem, `write a request such as ${exampleRequest}`);
  };
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    refuse("stdin", text.slice(0, 80), `is no JSON (${(error as Error).message})`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) refuse("stdin", parsed, "is no JSON object");
  const { promptTokenIds, steps, top, forcedTokenIds } = parsed as Record<keyof LogprobsRequest, unknown>;
  const isTokenIds = (value: unknown) => Array.isArray(value) && value.every((id) => Number.isSafeInteger(id));
  if (!isTokenIds(promptTokenIds)) refuse("promptTokenIds", promptTokenIds, "is no array of token ids");
  if (!Number.isSafeInteger(steps) || (steps as number) < 1) refuse("steps", steps, "is no positive whole number");
  if (!Number.isSafeInteger(top) || (top as number) < 1 || (top as number) > mostLogprobs)
    refuse("top", top, `is no whole number from 1 to ${mostLogprobs}`);
  if (forcedTokenIds !== undefined && !isTokenIds(forcedTokenIds)) refuse("forcedTokenIds", forcedTokenIds, "is no array of token ids");
  if (forcedTokenIds !== undefined && (forcedTokenIds as unknown[]).length < (steps as number))
    refuse("forcedTokenIds", forcedTokenIds, `has ${(forcedTokenIds as unknown[]).length} token ids for ${steps} steps`);
  return parsed as LogprobsRequest;
}
