/** Runs the built command as a child process. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { launcher } from "./paths.js";

export interface CommandResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function start(...args: readonly string[]): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [launcher, ...args]);
}

/** What a process wrote, and how it ended. */
export async function finish(child: ChildProcessWithoutNullStreams): Promise<CommandResult> {
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const exitCode = await new Promise<number | null>((resolve) => {
    child.on("close", resolve);
  });
  return { exitCode, stdout, stderr };
}

/** With nothing, a text or bytes on stdin. */
export function thermocline(args: readonly string[], input: string | Uint8Array = "", env: NodeJS.ProcessEnv = {}): Promise<CommandResult> {
  const child = spawn(process.execPath, [launcher, ...args], { env: { ...process.env, ...env } });
  // A command that refuses its arguments does not wait for its input.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  return finish(child);
}

/** With its stdout going to a file. */
export function thermoclineInto(path: string, args: readonly string[]): CommandResult {
  const file = openSync(path, "w");
  try {
    const { status, stderr } = spawnSync(process.execPath, [launcher, ...args], { stdio: ["ignore", file, "pipe"], encoding: "utf8" });
    return { exitCode: status, stdout: "", stderr };
  } finally {
    closeSync(file);
  }
}

export interface RunningCommand {
  readonly process: ChildProcessWithoutNullStreams;
  /** What it has written so far. */
  stderrText(): string;
}

/** With its stdin open. */
export function startTalking(...args: readonly string[]): RunningCommand {
  const child = start(...args);
  let text = "";
  child.stderr.setEncoding("utf8").on("data", (more: string) => {
    text += more;
  });
  return { process: child, stderrText: () => text };
}
