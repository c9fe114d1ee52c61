/** How a command ends that did not succeed: what it says, and its exit code. */
import { constants } from "node:os";
import { ThermoclineError } from "@thermocline/spec";
import { escapeControls, jsonLine } from "../terminal-text.js";
import { messageWithOptions } from "./option-names.js";
import { OutputClosedError, writeNotice } from "./standard-streams.js";

/** An abort that somebody outside asked for. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
  constructor(readonly signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`);
  }

  /** As shells report a command that a signal ended. */
  get exitCode(): number {
    return 128 + constants.signals[this.signal];
  }
}

/** Says what failed on stderr, on one line, and sets the exit code. Only errors that are bugs of ours show a stack. */
export function reportFailure(error: unknown, asJson: boolean): void {
  if (error instanceof OutputClosedError) return;
  if (error instanceof InterruptedError) {
    process.exitCode = error.exitCode;
    return;
  }
  process.exitCode = 1;
  if (ThermoclineError.isInstance(error))
    writeNotice(asJson ? jsonLine({ error: error.toJSON() }) : `error: ${escapeControls(messageWithOptions(error))}`);
  else reportBug(error instanceof Error ? (error.stack ?? error.message) : String(error), asJson);
}

function reportBug(stack: string, asJson: boolean): void {
  const message = "this is a bug in thermocline, please report it";
  writeNotice(asJson ? jsonLine({ error: { code: "bug", message, stack } }) : `error: ${message}\n${stack}`);
}
