import { createTokenizer } from "@thermocline/core/tokenizer";
import { openGguf } from "@thermocline/loader-gguf";
import { InvalidTensorError } from "@thermocline/spec";
import { jsonLine } from "../../terminal-text.js";
import { interruptible } from "../interruption.js";
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
    const { vocabulary } = source;
    await source[Symbol.asyncDispose]();
    if (vocabulary === undefined) throw new InvalidTensorError("metadata tokenizer.ggml.model", "a vocabulary", "none that is known");
    const tokenizer = createTokenizer(vocabulary);
    const text = await readInput("text", "pipe it to stdin", signal);
    const tokenIds = tokenizer.encode(text, { parseSpecial: special === true, addBos: bos === true });
    if (json) return writeOutput(`${JSON.stringify(tokenIds)}\n`);
    for (let first = 0; first < tokenIds.length; first += linesPerWrite) {
      const lines = tokenIds.slice(first, first + linesPerWrite).map((id) => `${id}\t${jsonLine(vocabulary.tokens[id])}\n`);
      await writeOutput(lines.join(""));
    }
  });
}
