import { type Backend, InvalidRequestError, type StepSignal } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createCpuBackend } from "../src/index.js";
import {
  allocate,
  bindings,
  floats,
  hasAddon,
  ledgerFor,
  plain,
  randomSource,
  readFloats,
  record,
  reserve,
  stepSignals,
} from "./native-fixture.js";

const rows = 64;
const columns = 256;

/** Some hundred commands on random numbers; `run` gives the milliseconds that the list took on the device. */
function normsAndSums(backend: Backend) {
  const ledger = ledgerFor(backend.device.id);
  const random = randomSource(11);
  const tensorOf = (...shape: number[]) => {
    const tensor = plain(allocate(ledger, backend, 4 * shape.reduce((product, length) => product * length)), shape);
    const values = Float32Array.from({ length: tensor.buffer.byteLength / 4 }, () => (random() / 2 ** 32) * 2 - 1);
    backend.write(tensor, floats(values));
    return tensor;
  };
  const x = tensorOf(rows, columns);
  const addend = tensorOf(rows, columns);
  const weight = tensorOf(columns);
  const list = record(backend, (encoder) => {
    for (let repeat = 0; repeat < 100; repeat++) {
      encoder.rmsNorm(x, x, weight, 1e-5);
      encoder.activate(x, x, undefined, "silu");
      encoder.add(x, x, addend);
    }
  });
  const run = async () => {
    const { outcome, stretches } = await backend.submit(list, bindings(), { trace: true }).done;
    expect(outcome).toBe("completed");
    return stretches![1]! - stretches![0]!;
  };
  return { x, run };
}

/** A list that writes 64 MiB, which a throttled device has to wait long for, and then signals. */
function longWait(backend: Backend, signal: StepSignal) {
  const byteLength = 64 << 20;
  const memory = new Float32Array(new SharedArrayBuffer(byteLength));
  const imported = backend.importHost(
    new Uint8Array(memory.buffer),
    reserve(ledgerFor(backend.device.id), backend.device.id, byteLength, "host"),
  );
  const list = record(backend, (encoder) => {
    encoder.fill(plain(imported, [memory.length]), 1);
    encoder.signal(signal);
  });
  const submission = backend.submit(list, bindings());
  /** Resolves while the device waits after the command. */
  const written = async () => {
    while (memory[memory.length - 1] !== 1) await new Promise((resolve) => setTimeout(resolve, 1));
    // On several threads the last part may be written before the others.
    await new Promise((resolve) => setTimeout(resolve, 50));
  };
  return { submission, written };
}

describe.runIf(hasAddon)("a throttled CPU backend", () => {
  it("computes the same bits", async () => {
    await using quick = createCpuBackend({ threads: 2 });
    await using slow = createCpuBackend({ threads: 2, throttle: 3 });
    const results: Float32Array[] = [];
    for (const backend of [quick, slow]) {
      const { x, run } = normsAndSums(backend);
      await run();
      results.push(await readFloats(backend, x));
    }
    expect(new Set(results[0]).size).toBeGreaterThan(1000);
    expect(Buffer.from(results[1]!.buffer)).toEqual(Buffer.from(results[0]!.buffer));
  });

  it("takes as many times as long as it was asked to", async () => {
    await using quick = createCpuBackend({ threads: 1 });
    await using slow = createCpuBackend({ threads: 1, throttle: 4 });
    const quickSums = normsAndSums(quick);
    const slowSums = normsAndSums(slow);
    let quickMs = Number.POSITIVE_INFINITY;
    let slowMs = Number.POSITIVE_INFINITY;
    // Other work on the machine only ever makes a round longer: the least of each comes close to what an idle machine takes.
    for (let round = 0; round < 100; round++) {
      quickMs = Math.min(quickMs, await quickSums.run());
      slowMs = Math.min(slowMs, await slowSums.run());
      if (round >= 4 && Math.abs(slowMs / quickMs - 4) < 0.4) break;
    }
    expect(slowMs / quickMs).toBeGreaterThan(3.6);
    expect(slowMs / quickMs).toBeLessThan(4.4);
  });

  it("leaves a wait when it is cancelled, and poisons what it owes", async () => {
    const [signal] = stepSignals(1) as [StepSignal];
    await using slow = createCpuBackend({ id: "cpu:1", threads: 1, throttle: 1000 });
    await using partner = createCpuBackend({ id: "cpu:0", threads: 1 });
    const waiting = record(partner, (encoder) => encoder.wait(signal));
    const { submission, written } = longWait(slow, signal);
    const fallen = partner.submit(waiting, bindings());
    await written();
    const cancelledAtMs = performance.now();
    submission.cancel();
    expect(await submission.done).toEqual({ outcome: "cancelled" });
    expect(await fallen.done).toEqual({ outcome: "poisoned" });
    // 64 MiB take a millisecond at the very least, so the wait was to take a second.
    expect(performance.now() - cancelledAtMs).toBeLessThan(800);
  });

  it("holds up neither other devices nor its own disposal", async () => {
    const [signal] = stepSignals(1) as [StepSignal];
    const slow = createCpuBackend({ id: "cpu:1", threads: 1, throttle: 1000 });
    await using quick = createCpuBackend({ id: "cpu:0", threads: 1 });
    const { submission, written } = longWait(slow, signal);
    let isDone = false;
    void submission.done.then(() => {
      isDone = true;
    });
    await written();
    await normsAndSums(quick).run();
    expect(isDone).toBe(false);
    await slow[Symbol.asyncDispose]();
    expect(await submission.done).toEqual({ outcome: "cancelled" });
  });

  it("says in its name how slow it is, and refuses to be faster or not a number", async () => {
    await using slow = createCpuBackend({ threads: 1, isa: "scalar", throttle: 2.5 });
    expect(slow.device.name).toBe("CPU, portable, 1 thread, 2.5 times slower");
    for (const throttle of [0.5, 0, -4, Number.NaN, Number.POSITIVE_INFINITY, 5000, "4" as never])
      expect(() => createCpuBackend({ throttle })).toThrow(InvalidRequestError);
  });
});
