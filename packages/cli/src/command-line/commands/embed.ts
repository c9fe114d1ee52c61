import { InvalidRequestError } from "@thermocline/spec";
import { openEmbedder } from "../../open-embedder.js";
import { readTextFile } from "../../read-text-file.js";
import { interruptible } from "../interruption.js";
import { withLoaded } from "../loaded-model.js";
import type { ModelOptions } from "../options.js";
import { readInput, writeOutput } from "../standard-streams.js";

export interface EmbedOptions extends ModelOptions {
  readonly context?: number;
  readonly file?: string;
}

const cure = "give texts, --file with a text a line, or pipe such lines to stdin";

/** Texts that are embedded before any vector of theirs is written. */
const textsPerWrite = 32;

export async function embed(path: string, texts: readonly string[], options: EmbedOptions): Promise<void> {
  const { backend, isa, threads, plan, context, batchTokens, budget, reserve, file, json } = options;
  if (file !== undefined && texts.length > 0)
    throw new InvalidRequestError("--file", file, "was given beside texts", "give the one or the others");
  await interruptible(async (signal) => {
    const inputs = texts.length > 0 ? texts : linesOf(await (file === undefined ? readPiped(signal) : readTextFile(file, signal)));
    // Known before the weights are loaded.
    if (inputs.length === 0) throw new InvalidRequestError("text", "", "was not given", cure);
    const empty = inputs.indexOf("");
    if (empty >= 0) throw new InvalidRequestError("text", "", `number ${empty + 1} is empty`, "leave empty texts and lines out");
    const limits = { budgetBytes: budget, reserveBytes: reserve };
    const opening = { backend, isa, threads, plan, contextLength: context, maxBatchTokens: batchTokens, ...limits, signal };
    await withLoaded(
      (watching) => openEmbedder(path, { ...opening, ...watching }),
      json === true,
      async (embedder) => {
        for (let first = 0; first < inputs.length; first += textsPerWrite) {
          const vectors = await embedder.embed(inputs.slice(first, first + textsPerWrite), { signal });
          await writeOutput(vectors.map((vector) => `${JSON.stringify(Array.from(vector, shortest))}\n`).join(""));
        }
      },
    );
  });
}

function readPiped(signal: AbortSignal): Promise<string> {
  return readInput("a text", cure, signal);
}

/** A newline at the end begins no line. */
function linesOf(text: string): readonly string[] {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** Nine digits tell every f32 from its neighbours. */
function shortest(value: number): number {
  return Number(value.toPrecision(9));
}
