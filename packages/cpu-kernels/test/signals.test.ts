import { type Backend, type CommandList, DeviceFaultError, type StepSignal, type SubmissionOutcome } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createCpuBackend } from "../src/index.js";
import { createReferenceBackend } from "../src/reference/index.js";
import { allocate, bindings, hasAddon, ledgerFor, plain, randomSource, record, reserve, stepSignals } from "./native-fixture.js";

/** A step that two devices share: the first adds 1 and hands over, the second doubles and hands back, the first adds 1 again. */
function splitStep(first: Backend, second: Backend) {
  const ledger = ledgerFor(first.device.id, second.device.id);
  const memory = new Float32Array(new SharedArrayBuffer(4 * 32));
  const [there, back] = stepSignals(2) as [StepSignal, StepSignal];
  const shared = (backend: Backend) =>
    plain(backend.importHost(new Uint8Array(memory.buffer), reserve(ledger, backend.device.id, 128, "hand-over")), [2, 16]);
  const x = shared(first);
  const y = shared(second);
  const one = plain(allocate(ledger, first, 128), [2, 16]);
  const lists: [CommandList, CommandList] = [
    record(first, (encoder) => {
      encoder.fill(one, 1);
      encoder.add(x, x, one);
      encoder.signal(there);
      encoder.wait(back);
      encoder.add(x, x, one);
    }),
    record(second, (encoder) => {
      encoder.wait(there);
      encoder.add(y, y, y);
      encoder.signal(back);
    }),
  ];
  return { memory, lists, there, back };
}

/** "failed" beside the outcomes that resolve. */
async function outcomeOf(done: Promise<{ outcome: SubmissionOutcome }>): Promise<SubmissionOutcome | "failed"> {
  try {
    return (await done).outcome;
  } catch (error) {
    if (error instanceof DeviceFaultError) return "failed";
    throw error;
  }
}

const pairs: readonly (readonly [string, () => readonly [Backend, Backend]])[] = [
  ["two CPU backends", () => [createCpuBackend({ id: "cpu:0", threads: 2 }), createCpuBackend({ id: "cpu:1", threads: 2 })]],
  ["CPU and reference", () => [createCpuBackend({ threads: 2 }), createReferenceBackend()]],
  ["reference and CPU", () => [createReferenceBackend(), createCpuBackend({ threads: 1 })]],
];

describe.runIf(hasAddon).each(pairs)("a step split over %s", (_name, createPair) => {
  it("hands over and back, whichever half is submitted first", async () => {
    const [first, second] = createPair();
    await using _first = first;
    await using _second = second;
    const { memory, lists } = splitStep(first, second);
    for (let step = 1; step <= 200; step++) {
      memory.fill(step);
      const submit = [() => first.submit(lists[0], bindings({ step })), () => second.submit(lists[1], bindings({ step }))];
      if (step % 2 === 0) submit.reverse();
      const reports = await Promise.all(submit.map((submitHalf) => submitHalf().done));
      expect(reports.map(({ outcome }) => outcome)).toEqual(["completed", "completed"]);
      expect(memory.every((value) => value === 2 * (step + 1) + 1)).toBe(true);
    }
  });

  it("runs steps that are enqueued ahead", async () => {
    const [first, second] = createPair();
    await using _first = first;
    await using _second = second;
    const { memory, lists } = splitStep(first, second);
    const done: Promise<unknown>[] = [];
    for (let step = 1; step <= 20; step++) {
      done.push(first.submit(lists[0], bindings({ step })).done, second.submit(lists[1], bindings({ step })).done);
    }
    await Promise.all(done);
    let expected = 0;
    for (let step = 1; step <= 20; step++) expected = 2 * (expected + 1) + 1;
    expect(memory[31]).toBe(expected);
  });

  it("poisons the partner of a half that is cancelled while it waits", async () => {
    const [first, second] = createPair();
    await using _first = first;
    await using _second = second;
    const { lists, there, back } = splitStep(first, second);
    const half = first.submit(lists[0], bindings({ step: 1 }));
    while (Atomics.load(there.counters, there.slot) !== 1) await new Promise((resolve) => setImmediate(resolve));
    half.cancel();
    half.cancel();
    expect(await half.done).toEqual({ outcome: "cancelled" });
    expect(await second.submit(lists[1], bindings({ step: 1 })).done).toEqual({ outcome: "completed" });

    const other = second.submit(lists[1], bindings({ step: 2 }));
    other.cancel();
    expect(await other.done).toEqual({ outcome: "cancelled" });
    expect(back.counters[back.slot]).toBe(-2);
    expect(await first.submit(lists[0], bindings({ step: 2 })).done).toEqual({ outcome: "poisoned" });
  });

  it("poisons the partner of a half that fails", async () => {
    const [first, second] = createPair();
    await using _first = first;
    await using _second = second;
    const { memory, lists, there, back } = splitStep(first, second);
    const failed = first.submit(lists[0], bindings({ step: 5 }), { faultAtCommand: 1 });
    const fallen = second.submit(lists[1], bindings({ step: 5 }));
    await expect(failed.done).rejects.toThrow(DeviceFaultError);
    expect(await fallen.done).toEqual({ outcome: "poisoned" });
    expect([there.counters[there.slot], back.counters[back.slot]]).toEqual([-5, -5]);
    expect(memory.every((value) => value === 0)).toBe(true);
    const next = [first.submit(lists[0], bindings({ step: 6 })).done, second.submit(lists[1], bindings({ step: 6 })).done];
    expect(await Promise.all(next)).toEqual([{ outcome: "completed" }, { outcome: "completed" }]);
  });

  it("keeps a fault until it is asked for, while the caller still awaits the other half", async () => {
    const [first, second] = createPair();
    await using _first = first;
    await using _second = second;
    const unhandled: unknown[] = [];
    const onUnhandled = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", onUnhandled);
    try {
      const [awaited, never] = stepSignals(2) as [StepSignal, StepSignal];
      const waiting = record(first, (encoder) => encoder.wait(awaited));
      const signalling = record(second, (encoder) => encoder.signal(never));
      const a = first.submit(waiting, bindings({ step: 1 }));
      const b = second.submit(signalling, bindings({ step: 1 }), { faultAtCommand: 0 });
      // The next list of the queue ends after the fault was reported; a turn of the event loop later it would count as unhandled.
      await second.submit(signalling, bindings({ step: 2 })).done;
      await new Promise((resolve) => setTimeout(resolve, 5));
      Atomics.store(awaited.counters, awaited.slot, 1);
      expect(await a.done).toEqual({ outcome: "completed" });
      await expect(b.done).rejects.toThrow(DeviceFaultError);
      expect(unhandled).toEqual([]);
    } finally {
      process.off("unhandledRejection", onUnhandled);
    }
  });

  it("ends every submission of 1,000 random steps with accidents", async () => {
    const [first, second] = createPair();
    await using _first = first;
    await using _second = second;
    const { memory, lists } = splitStep(first, second);
    const random = randomSource(11);
    const backends = [first, second] as const;
    const seen = new Set<string>();
    for (let step = 1; step <= 1000; step++) {
      memory.fill(step);
      const victim = random() % 2;
      const accident = random() % 4;
      const order = random() % 2 === 0 ? [0, 1] : [1, 0];
      const submissions = order.map((device) => {
        const fault = accident === 0 && device === victim ? { faultAtCommand: random() % 3 } : {};
        return { device, submission: backends[device]!.submit(lists[device]!, bindings({ step }), fault) };
      });
      if (accident === 1) submissions.find(({ device }) => device === victim)!.submission.cancel();
      if (accident === 2 && random() % 8 === 0) {
        await new Promise((resolve) => setImmediate(resolve));
        submissions.find(({ device }) => device === victim)!.submission.cancel();
      }
      const outcomes = await Promise.all(submissions.map(({ submission }) => outcomeOf(submission.done)));
      for (const outcome of outcomes) seen.add(outcome);
      if (accident === 3) expect(outcomes).toEqual(["completed", "completed"]);
      const ofFirst = outcomes[order.indexOf(0)];
      if (ofFirst === "completed") expect(memory[0]).toBe(2 * (step + 1) + 1);
    }
    expect([...seen].sort()).toEqual(["cancelled", "completed", "failed", "poisoned"]);
  });
});

describe.runIf(hasAddon)("signals of the CPU backend", () => {
  it("are seen by, and see, JavaScript that uses Atomics", async () => {
    const ledger = ledgerFor("cpu:0");
    await using backend = createCpuBackend({ threads: 1 });
    const [given, awaited] = stepSignals(2) as [StepSignal, StepSignal];
    const out = plain(allocate(ledger, backend, 64), [1, 16]);
    const list = record(backend, (encoder) => {
      encoder.signal(given);
      encoder.wait(awaited);
      encoder.fill(out, 1);
    });
    const { done } = backend.submit(list, bindings({ step: 3 }), { trace: true });
    while (Atomics.load(given.counters, given.slot) !== 3) await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const beforeSignal = Number(process.hrtime.bigint()) / 1e6;
    Atomics.store(awaited.counters, awaited.slot, 3);
    const { outcome, stretches } = await done;
    const now = Number(process.hrtime.bigint()) / 1e6;
    expect(outcome).toBe("completed");
    expect(stretches).toHaveLength(6);
    const times = [...stretches!];
    expect([...times].sort((a, b) => a - b)).toEqual(times);
    expect(times[4]).toBeGreaterThanOrEqual(beforeSignal);
    expect(times[5]).toBeLessThanOrEqual(now);
  });

  it("refuse a step number that could not be told from a fresh slot", async () => {
    await using backend = createCpuBackend({ threads: 1 });
    const [signal] = stepSignals(1);
    const list = record(backend, (encoder) => encoder.signal(signal!));
    for (const step of [0, -1, 0.5, 2 ** 31]) expect(() => backend.submit(list, bindings({ step }))).toThrow(/step|32-bit/);
    expect(await backend.submit(list, bindings({ step: 2 ** 31 - 1 })).done).toEqual({ outcome: "completed" });
  });

  it("leave a trace with one stretch more than signals, also when a list is left early", async () => {
    await using backend = createCpuBackend({ threads: 1 });
    const signals = stepSignals(3);
    const list = record(backend, (encoder) => {
      for (const signal of signals) encoder.wait(signal);
    });
    const submission = backend.submit(list, bindings({ step: 1 }), { trace: true });
    submission.cancel();
    const { outcome, stretches } = await submission.done;
    expect(outcome).toBe("cancelled");
    expect(stretches).toHaveLength(8);
  });

  it("end when the backend is disposed with a wait in flight", async () => {
    const backend = createCpuBackend({ threads: 2 });
    const [never, given] = stepSignals(2) as [StepSignal, StepSignal];
    const list = record(backend, (encoder) => {
      encoder.wait(never);
      encoder.signal(given);
    });
    const submissions = [1, 2, 3].map((step) => backend.submit(list, bindings({ step })));
    await backend[Symbol.asyncDispose]();
    for (const { done } of submissions) expect(await done).toEqual({ outcome: "cancelled" });
    expect(given.counters[given.slot]).toBe(-3);
  });
});
