/** The syllable model on the reference backend. */
import { createEngine, type EngineOptions, type LoadedEngine } from "@thermocline/core";
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import { createMemoryLedger, type GenerateRequest, type GenerateUsage } from "@thermocline/spec";
import { openSyllableModel } from "./syllable-model.js";

export async function createSyllableEngine(options: Pick<EngineOptions, "contextLength" | "maxSequences">): Promise<LoadedEngine> {
  // It shares its thread with the server, which must get its turn within a step.
  const backend = createReferenceBackend({ yieldEveryMs: 0 });
  const ledger = createMemoryLedger({ [backend.device.id]: 2 ** 30 });
  return createEngine({ source: await openSyllableModel(), backends: [backend], ledger, ...options });
}

export interface GeneratedText {
  readonly text: string;
  readonly reason: string;
  readonly usage: GenerateUsage;
}

/** What the engine itself answers. */
export async function generateText(engine: LoadedEngine, request: GenerateRequest): Promise<GeneratedText> {
  let text = "";
  for await (const event of engine.generate(request)) {
    if (event.type === "end") return { text, reason: event.reason, usage: event.usage };
    text += event.text;
  }
  throw new Error("a generation ends with an event");
}
