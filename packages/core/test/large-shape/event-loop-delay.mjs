/**
 * `node event-loop-delay.mjs <model> <windows>`: the event loop's delay in turns while this process idles and while it decodes with one
 * compute thread, as one line of JSON. A window of decoding lasts half a second, the idle one after it as long.
 */
import { readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createEngine } from "@thermocline/core";
import { createCpuBackend } from "@thermocline/cpu-kernels";
import { openGguf } from "@thermocline/loader-gguf";
import { createMemoryLedger } from "@thermocline/spec";

const [modelPath, numWindowsText] = process.argv.slice(2);
const shortestWindowMs = 500;

const backend = createCpuBackend({ threads: 1 });
const source = await openGguf(modelPath);
const ledger = createMemoryLedger({ [backend.device.id]: 2 ** 34 });
const engine = await createEngine({ source, backends: [backend], ledger, contextLength: 512, maxBatchTokens: 64 });

/** Time that the JavaScript thread ran, and time that it was ready and waited for a processor. Zeros where Linux does not count them. */
function threadMs() {
  try {
    const [ran, waited] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ").map(Number);
    return { ranMs: ran / 1e6, waitedMs: waited / 1e6 };
  } catch {
    return { ranMs: 0, waitedMs: 0 };
  }
}

const histogram = monitorEventLoopDelay({ resolution: 1 });
let threadAtStart = threadMs();
function startWindow() {
  threadAtStart = threadMs();
  histogram.reset();
  histogram.enable();
}
/** Delays include the timer's own resolution of a millisecond. */
function endWindow() {
  histogram.disable();
  const { ranMs, waitedMs } = threadMs();
  return {
    delayP99Ms: histogram.percentile(99) / 1e6,
    numSamples: histogram.count,
    ranMs: ranMs - threadAtStart.ranMs,
    waitedMs: waitedMs - threadAtStart.waitedMs,
  };
}

/** From the first token on, so without the prefill, until the window is over. */
async function decode() {
  let numTokens = -1;
  let startedAtMs = 0;
  const prompt = Array.from({ length: 8 }, (_, index) => 300 + index);
  for await (const event of engine.generate({ prompt, ignoreEos: true, sampling: { temperature: 0 } })) {
    if (event.type !== "text-delta") continue;
    if (++numTokens === 0) {
      startedAtMs = performance.now();
      startWindow();
    } else if (numTokens >= 4 && performance.now() - startedAtMs >= shortestWindowMs) {
      return { numTokens, windowMs: performance.now() - startedAtMs, ...endWindow() };
    }
  }
  throw new Error("the context is shorter than the window");
}

await decode();
const windows = [];
for (let index = 0; index < Number(numWindowsText); index++) {
  const decoding = await decode();
  startWindow();
  await new Promise((resolve) => setTimeout(resolve, decoding.windowMs));
  windows.push({ decoding, idle: endWindow() });
}
console.log(JSON.stringify(windows));
await engine[Symbol.asyncDispose]();
await backend[Symbol.asyncDispose]();
await source[Symbol.asyncDispose]();
