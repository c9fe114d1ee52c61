import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { hasAddon } from "./native-fixture.js";

const scenarios = fileURLToPath(new URL("workers/scenarios.mjs", import.meta.url));
const isBuilt = existsSync(new URL("../dist/index.js", import.meta.url));
if (!isBuilt) console.warn("skipped, the package is not built: processes and workers import it by name");

async function runProcess(scenario: string) {
  const child = spawn(process.execPath, ["--expose-gc", scenarios, scenario], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  child.stderr.on("data", (chunk) => {
    output += chunk;
  });
  const [code, signal] = await once(child, "close");
  return { code, signal, output: output.trim() };
}

function startWorker(scenario: string): Worker {
  return new Worker(scenarios, { workerData: scenario });
}

describe.runIf(hasAddon && isBuilt)("a process", () => {
  it("ends by itself with an idle backend that nobody disposed", async () => {
    expect(await runProcess("idle")).toEqual({ code: 0, signal: null, output: "idle" });
  });

  it("stays alive while a submission is pending", async () => {
    expect(await runProcess("pending")).toEqual({ code: 0, signal: null, output: "completed" });
  });

  it("exits when told to, with submissions and reads in flight", async () => {
    expect(await runProcess("exit")).toEqual({ code: 7, signal: null, output: "exiting" });
  });

  it.runIf(existsSync("/proc/self/task"))("keeps no thread of backends that it dropped without disposing them", async () => {
    expect(await runProcess("dropped")).toEqual({ code: 0, signal: null, output: "0 threads left" });
  });
});

describe.runIf(hasAddon && isBuilt)("worker threads", () => {
  it("run backends of their own at the same time", async () => {
    const workers = [startWorker("steps"), startWorker("steps"), startWorker("steps")];
    const messages = await Promise.all(
      workers.map(async (worker) => {
        const exited = once(worker, "exit");
        const [message] = await once(worker, "message");
        expect((await exited)[0]).toBe(0);
        return message;
      }),
    );
    expect(messages).toEqual(Array(3).fill("filled with 9, 0 reservations left"));
  });

  it("can be terminated with a list that runs and one that waits for ever", async () => {
    for (let round = 0; round < 5; round++) {
      const worker = startWorker("stuck");
      expect(await once(worker, "message")).toEqual(["stuck"]);
      expect(await worker.terminate()).toBe(1);
    }
  });

  it("can be terminated while they measure how fast memory is read", async () => {
    const worker = startWorker("probing");
    expect(await once(worker, "message")).toEqual(["probing"]);
    expect(await worker.terminate()).toBe(1);
  });
});
