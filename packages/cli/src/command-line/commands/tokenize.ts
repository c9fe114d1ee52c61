import { openGguf } from "@thermocline/loader-gguf";
import { jsonLine } from "../../terminal-text.js";
import { interruptible } from "../interruption.js";
import { tokenizerOf, vocabularyOf } from "../model-vocabulary.js";
import { readInput, writeOutput } from "../standard-streams.js";

export interface TokenizeOptions {
  readonly special?: boolean;
  readonly bos?: boolean;
  readonly json?: boolean;
}

/** Lines that go to the stream together. */
const linesPerWrite = 4096;

export async function tokenize(path: string, { special, bos, json }: TokenizeOptions): Promise<void> {
  await interruptible(async (signal) => {
    const source = await openGguf(path, { signal });
    await source[Symbol.asyncDispose]();
    const { tokens } = vocabularyOf(source);
    const tokenizer = tokenizerOf(source);
    const text = await readInput("text", "pipe it to stdin", signal);
    const tokenIds = tokenizer.encode(text, { parseSpecial: special === true, addBos: bos === true });
    if (json) return writeOutput(`${JSON.stringify(tokenIds)}\n`);
    for (let first = 0; first < tokenIds.length; first += linesPerWrite) {
      const lines = tokenIds.slice(first, first + linesPerWrite).map((id) => `${id}\t${jsonLine(tokens[id])}\n`);
      await writeOutput(lines.join(""));
    }
  });
}
