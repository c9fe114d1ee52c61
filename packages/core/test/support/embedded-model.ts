/** The model that the repository carries, and greedy texts of it. */
import { resolve } from "node:path";
import { openGguf } from "@thermocline/loader-gguf";
import {
  type Backend,
  createMemoryLedger,
  type GenerateEvent,
  type GenerateRequest,
  type MemoryLedger,
  type ModelSource,
} from "@thermocline/spec";
import { createEngine, type EngineOptions, type LoadedEngine } from "../../src/index.js";
import { repositoryRoot } from "./golden.js";

export const embeddedModelPath = resolve(repositoryRoot, "models/stories15M-q8_0.gguf");
export const openEmbeddedModel = () => openGguf(embeddedModelPath);

/** A ledger with room for any test's model on every backend. */
export const ledgerFor = (...backends: readonly Backend[]): MemoryLedger =>
  createMemoryLedger(Object.fromEntries(backends.map(({ device }) => [device.id, 2 ** 32])));

export function createTestEngine(
  source: ModelSource,
  backends: readonly Backend[],
  options: Partial<EngineOptions> = {},
): Promise<LoadedEngine> {
  return createEngine({ source, backends, ledger: ledgerFor(...backends), contextLength: 128, ...options });
}

export interface Completion {
  readonly text: string;
  readonly tokenIds: readonly number[];
  readonly events: readonly GenerateEvent[];
  readonly end: Extract<GenerateEvent, { type: "end" }>;
}

export async function complete(engine: LoadedEngine, request: GenerateRequest, signal?: AbortSignal): Promise<Completion> {
  const events: GenerateEvent[] = [];
  for await (const event of engine.generate(request, signal === undefined ? {} : { signal })) events.push(event);
  const deltas = events.flatMap((event) => (event.type === "text-delta" ? [event] : []));
  return {
    text: deltas.map((event) => event.text).join(""),
    tokenIds: deltas.flatMap((event) => event.tokenIds),
    events,
    end: events.at(-1) as Completion["end"],
  };
}

export const greedy = { temperature: 0 } as const;

/** A seeded generator: `random(n)` is a whole number from 0 to n - 1. */
export function createRandom(seed: number): (n: number) => number {
  let state = seed >>> 0 || 1;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}

export function shuffled(length: number, random: (n: number) => number): readonly number[] {
  const order = Array.from({ length }, (_, index) => index);
  for (let index = length - 1; index > 0; index--) {
    const other = random(index + 1);
    [order[index], order[other]] = [order[other]!, order[index]!];
  }
  return order;
}
