// What a program may do to a backend, each as its own process or worker: `node scenarios.mjs <scenario>`. Tested from native-lifecycle.test.ts.
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { createCpuBackend, measureReadBandwidth } from "@thermocline/cpu-kernels";
import { bindingNames, createMemoryLedger } from "@thermocline/spec";

const ledger = createMemoryLedger({ "cpu:0": 2 ** 32 });
const report = (message) => (isMainThread ? console.log(message) : parentPort.postMessage(message));
const bindings = (step) => ({ ...Object.fromEntries(bindingNames.map((name) => [name, 1])), step });

function fillList(backend, rows, count) {
  const byteLength = rows * 1024 * 4;
  const [reservation] = ledger.reserve([{ device: "cpu:0", owner: "test", class: "activations", byteLength, label: "test" }]);
  const buffer = backend.allocate(reservation);
  const out = { buffer, byteOffset: 0, dtype: "f32", layout: "plain", shape: [rows, 1024] };
  const encoder = backend.createEncoder();
  for (let index = 0; index < count; index++) encoder.fill(out, index);
  return { out, list: encoder.finish() };
}

function waitList(backend) {
  const counters = new Int32Array(new SharedArrayBuffer(64));
  const encoder = backend.createEncoder();
  encoder.wait({ counters, slot: 0 });
  return encoder.finish();
}

// A function of its own, so that no suspended frame still holds the backend.
async function useOnce() {
  const backend = createCpuBackend({ threads: 4 });
  const { list } = fillList(backend, 4, 1);
  await backend.submit(list, bindings(1)).done;
}

const numThreads = async () => (await import("node:fs")).readdirSync("/proc/self/task").length;

const scenarios = {
  async probing() {
    const measured = measureReadBandwidth({ threads: 2, byteLength: 2 ** 20, durationMs: 300 });
    report("probing");
    await measured;
  },

  async steps() {
    const backend = createCpuBackend({ threads: 2 });
    const { out, list } = fillList(backend, 16, 10);
    for (let step = 1; step <= 200; step++) await backend.submit(list, bindings(step)).done;
    const values = new Float32Array(16 * 1024);
    await backend.read(out, new Uint8Array(values.buffer));
    await backend[Symbol.asyncDispose]();
    report(`filled with ${values[0]}, ${ledger.report().length} reservations left`);
  },
  idle() {
    const backend = createCpuBackend({ threads: 2 });
    fillList(backend, 16, 10);
    report("idle");
  },
  async pending() {
    const backend = createCpuBackend({ threads: 2 });
    const { list } = fillList(backend, 1024, 300);
    // Nothing but the submission keeps the process alive.
    await backend.submit(list, bindings(1)).done;
    report("completed");
  },
  exit() {
    const backend = createCpuBackend({ threads: 2 });
    const { out, list } = fillList(backend, 1024, 20_000);
    backend.submit(list, bindings(1));
    backend.submit(waitList(backend), bindings(1));
    backend.read(out, new Uint8Array(1024 * 1024 * 4));
    report("exiting");
    setTimeout(() => process.exit(7), 20);
  },
  stuck() {
    const backend = createCpuBackend({ threads: 2 });
    const { list } = fillList(backend, 1024, 1000);
    backend.submit(list, bindings(1));
    backend.submit(waitList(backend), bindings(1));
    report("stuck");
  },
  async dropped() {
    const before = await numThreads();
    for (let index = 0; index < 5; index++) await useOnce();
    for (let round = 0; round < 50 && (await numThreads()) > before; round++) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    report(`${(await numThreads()) - before} threads left`);
  },
};

await scenarios[isMainThread ? process.argv[2] : workerData]();
