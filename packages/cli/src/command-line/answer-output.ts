import type { GenerateEvent } from "@thermocline/spec";
import { escapeControlsInText, jsonLine } from "../terminal-text.js";
import { writeOutput } from "./standard-streams.js";

/** Writes an event of an answer: JSON, or its text, unchanged for a program that reads it and harmless for a terminal. */
export async function writeAnswerEvent(event: GenerateEvent, asJson: boolean): Promise<void> {
  if (asJson) await writeOutput(`${jsonLine(event)}\n`);
  else if (event.type === "text-delta") await writeOutput(process.stdout.isTTY ? escapeControlsInText(event.text) : event.text);
}

/** "120.3 tok/s" of an answer whose first token belongs to the prompt's step. */
export function formatDecodeSpeed(completionTokens: number, decodeMs: number): string {
  const decoded = completionTokens - 1;
  return decoded > 0 && decodeMs > 0 ? `${((decoded * 1000) / decodeMs).toFixed(1)} tok/s` : "too short to time";
}
