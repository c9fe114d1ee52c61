/** Runs a command in this process, which is quicker than a process of its own. One at a time: a process has one stdout. */
import { reportFailure } from "../../src/command-line/failure.js";
import { createProgram, runProgram } from "../../src/command-line/program.js";
import { isJsonAsked } from "../../src/command-line/usage.js";
import type { CommandResult } from "./command.js";

export async function runHere(...args: readonly string[]): Promise<CommandResult> {
  const { stdout, stderr } = process;
  const written = { stdout: "", stderr: "" };
  const writes = { stdout: stdout.write, stderr: stderr.write };
  const collect = (name: keyof typeof written) =>
    ((chunk: string | Uint8Array, ...rest: readonly unknown[]) => {
      written[name] += typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk);
      const done = rest.find((argument) => typeof argument === "function") as (() => void) | undefined;
      done?.();
      return true;
    }) as typeof stdout.write;
  const exitCodeBefore = process.exitCode;
  process.exitCode = 0;
  stdout.write = collect("stdout");
  stderr.write = collect("stderr");
  try {
    const program = createProgram();
    await runProgram(program, args).catch((error) => reportFailure(error, isJsonAsked(program, args)));
    return { exitCode: Number(process.exitCode), ...written };
  } finally {
    stdout.write = writes.stdout;
    stderr.write = writes.stderr;
    process.exitCode = exitCodeBefore;
  }
}
