/** How a command ends that did not succeed: what it says, and its exit code. */
import { constants } from "node:os";
import { ThermoclineError } from "@thermocline/spec";
import { OutputClosedError } from "./standard-streams.js";

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

/** Says what failed on stderr and sets the exit code. Only errors that are bugs of ours show a stack. */
export function reportFailure(error: unknown): void {
  if (error instanceof OutputClosedError) return;
  if (error instanceof InterruptedError) {
    process.exitCode = error.exitCode;
    return;
  }
  process.exitCode = 1;
  if (ThermoclineError.isInstance(error)) process.stderr.write(isJsonAsked() ? jsonOf(error) : `error: ${oneLine(error.message)}\n`);
  else
    process.stderr.write(
      `error: this is a bug in thermocline, please report it\n${error instanceof Error ? error.stack : String(error)}\n`,
    );
}

/** Failures before the options are parsed are told in the same form, so the arguments themselves are asked. */
function isJsonAsked(): boolean {
  return process.argv.includes("--json");
}

/** Messages quote what they refuse, line breaks and all. */
function oneLine(text: string): string {
  return text.replace(/\s*[\r\n]+\s*/g, " ");
}

function jsonOf(error: ThermoclineError): string {
  const plain = (_key: string, value: unknown) => (typeof value === "bigint" ? String(value) : value);
  return `${JSON.stringify({ error: error.toJSON() }, plain)}\n`;
}
