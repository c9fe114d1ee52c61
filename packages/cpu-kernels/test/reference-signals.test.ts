import {
  type Backend,
  type CommandList,
  createMemoryLedger,
  type StepBindings,
  type StepSignal,
  signalSlotStride,
  type Tensor,
} from "@thermocline/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createReferenceBackend } from "../src/reference/index.js";

const ids = ["reference:0", "reference:1"] as const;
const bindingsOf = (step: number): StepBindings => ({ step, numTokens: 1, numSequences: 1, numOutputRows: 1, maxContextLength: 1 });

/**
 * Two devices that hand one number to and fro in shared memory: `first` adds 1, `second` adds 2, `first` adds 4. Every list has its own
 * step number, so that a value of an earlier step never passes for this one's.
 */
class PingPong {
  readonly ledger = createMemoryLedger({ [ids[0]]: 1 << 16, [ids[1]]: 1 << 16 });
  readonly backends = ids.map((id) => createReferenceBackend({ id })) as [Backend, Backend];
  readonly counters = new Int32Array(new SharedArrayBuffer(4 * 4 * signalSlotStride));
  readonly toSecond: StepSignal = { counters: this.counters, slot: 0 };
  readonly toFirst: StepSignal = { counters: this.counters, slot: signalSlotStride };
  readonly value: Float32Array;
  readonly lists: [CommandList, CommandList];

  constructor() {
    const memory = new Uint8Array(new SharedArrayBuffer(256));
    this.value = new Float32Array(memory.buffer, 0, 1);
    const [x, amounts] = [0, 1].map((index) => {
      const [reservation] = this.ledger.reserve([
        { device: ids[index]!, owner: "test", class: "staging", byteLength: 256, label: "staging" },
      ]);
      const buffer = this.backends[index]!.importHost(memory, reservation!);
      const view = (byteOffset: number): Tensor => ({ buffer, byteOffset, dtype: "f32", layout: "plain", shape: [1, 1] });
      return { value: view(0), amounts: [view(64), view(128), view(192)] };
    }) as [{ value: Tensor; amounts: Tensor[] }, { value: Tensor; amounts: Tensor[] }];
    for (const [offset, amount] of [
      [16, 1],
      [32, 2],
      [48, 4],
    ] as const)
      new Float32Array(memory.buffer)[offset] = amount;
    const first = this.backends[0].createEncoder();
    first.add(x.value, x.value, x.amounts[0]!);
    first.signal(this.toSecond);
    first.wait(this.toFirst);
    first.add(x.value, x.value, x.amounts[2]!);
    const second = this.backends[1].createEncoder();
    second.wait(this.toSecond);
    second.add(amounts.value, amounts.value, amounts.amounts[1]!);
    second.signal(this.toFirst);
    this.lists = [first.finish(), second.finish()];
  }
}

let devices: PingPong;
beforeEach(() => {
  devices = new PingPong();
});
afterEach(async () => {
  for (const backend of devices.backends) await backend[Symbol.asyncDispose]();
  expect(devices.ledger.report()).toEqual([]);
});

function submit(index: 0 | 1, step: number, options = {}) {
  return devices.backends[index].submit(devices.lists[index], bindingsOf(step), options);
}

describe("hand-overs between two devices", () => {
  it("order their commands, whichever is submitted first", async () => {
    for (const [step, order] of [
      [1, [0, 1]],
      [2, [1, 0]],
    ] as const) {
      devices.value[0] = 0;
      const submissions = order.map((index) => submit(index, step));
      const reports = await Promise.all(submissions.map(({ done }) => done));
      expect(reports).toEqual([{ outcome: "completed" }, { outcome: "completed" }]);
      expect(devices.value[0]).toBe(7);
    }
  });

  it("let several steps be queued at once", async () => {
    const steps = [1, 2, 3, 4, 5];
    const submissions = [...steps.map((step) => submit(0, step)), ...steps.map((step) => submit(1, step))];
    await Promise.all(submissions.map(({ done }) => done));
    expect(devices.value[0]).toBe(35);
    expect([devices.counters[0], devices.counters[signalSlotStride]]).toEqual([5, 5]);
  });
});

describe("a cancelled list", () => {
  it("leaves its wait, runs nothing more, and poisons what it still had to give", async () => {
    const second = submit(1, 1);
    await new Promise((resolve) => setTimeout(resolve, 10));
    second.cancel();
    second.cancel();
    expect(await second.done).toEqual({ outcome: "cancelled" });
    expect(devices.counters[signalSlotStride]).toBe(-1);
    expect(await submit(0, 1).done).toEqual({ outcome: "poisoned" });
    expect(devices.value[0]).toBe(1);
  });

  it("that never started poisons its signals when its turn comes", async () => {
    const [running, queued] = [submit(1, 1), submit(1, 2)];
    queued.cancel();
    expect(devices.counters[signalSlotStride]).toBe(0);
    running.cancel();
    await queued.done;
    expect(devices.counters[signalSlotStride]).toBe(-2);
  });

  it("that had given its signal keeps it given", async () => {
    const first = submit(0, 1);
    await new Promise((resolve) => setTimeout(resolve, 10));
    first.cancel();
    expect(await first.done).toEqual({ outcome: "cancelled" });
    expect(devices.counters[0]).toBe(1);
    expect(await submit(1, 1).done).toEqual({ outcome: "completed" });
  });
});

describe("a failed list", () => {
  it("rejects, poisons the rest, and the next step works", async () => {
    const [first, second] = [submit(0, 1, { faultAtCommand: 0 }), submit(1, 1)];
    await expect(first.done).rejects.toMatchObject({ code: "device-fault", device: ids[0], commandIndex: 0, op: "add" });
    expect(await second.done).toEqual({ outcome: "poisoned" });
    expect([devices.counters[0], devices.counters[signalSlotStride]]).toEqual([-1, -1]);
    const next = [submit(0, 2), submit(1, 2)];
    expect(await Promise.all(next.map(({ done }) => done))).toEqual([{ outcome: "completed" }, { outcome: "completed" }]);
  });

  it.each([0, 1, 2, 3])("at command %i leaves no one waiting", async (faultAtCommand) => {
    const [first, second] = [submit(0, 1, { faultAtCommand }), submit(1, 1)];
    await expect(first.done).rejects.toMatchObject({ code: "device-fault", commandIndex: faultAtCommand });
    expect(await second.done).toEqual({ outcome: faultAtCommand <= 1 ? "poisoned" : "completed" });
  });
});

describe("the slot's value", () => {
  it("passes a wait when it is a later step's, and falls through when a later step is poisoned", async () => {
    devices.counters[0] = 9;
    expect(await submit(1, 3).done).toEqual({ outcome: "completed" });
    devices.counters[0] = -9;
    expect(await submit(1, 4).done).toEqual({ outcome: "poisoned" });
  });

  it("is not lowered by a signal, and a poison of an earlier step does not stop it", async () => {
    devices.counters[0] = -2;
    const first = submit(0, 3);
    expect(await submit(1, 3).done).toEqual({ outcome: "completed" });
    await first.done;
    expect(devices.counters[0]).toBe(3);
    devices.counters.fill(8);
    await submit(0, 4).done;
    expect(devices.counters[0]).toBe(8);
  });

  it("turns from this step's signal into its poison, but not from a later one's", async () => {
    devices.counters[signalSlotStride] = 5;
    const second = submit(1, 5);
    second.cancel();
    await second.done;
    expect(devices.counters[signalSlotStride]).toBe(-5);
    devices.counters[signalSlotStride] = 7;
    const third = submit(1, 6);
    third.cancel();
    await third.done;
    expect(devices.counters[signalSlotStride]).toBe(7);
  });
});

it("1,000 steps with random cancellations and faults end in consistent outcomes", async () => {
  let state = 12345;
  const random = (limit: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % limit;
  };
  const counts = { completed: 0, cancelled: 0, poisoned: 0, faulted: 0 };
  for (let step = 1; step <= 1000; step++) {
    devices.value[0] = 0;
    const kind = random(6);
    const victim = random(2) as 0 | 1;
    const order = random(2) === 0 ? ([0, 1] as const) : ([1, 0] as const);
    const submissions = order.map((index) =>
      submit(index, step, kind === 1 && index === victim ? { faultAtCommand: random(index === 0 ? 4 : 3) } : {}),
    );
    if (kind === 2) submissions[victim]!.cancel();
    if (kind === 3) setImmediate(() => submissions[victim]!.cancel());
    const results = await Promise.allSettled(submissions.map(({ done }) => done));
    const outcomes = results.map((result) => (result.status === "fulfilled" ? result.value.outcome : "faulted"));
    for (const outcome of outcomes) counts[outcome]++;
    if (outcomes.every((outcome) => outcome === "completed")) expect(devices.value[0]).toBe(7);
    if (kind === 0 || kind > 3) expect(outcomes).toEqual(["completed", "completed"]);
    if (kind === 1) expect(outcomes[order.indexOf(victim)]).toBe("faulted");
    if (outcomes.includes("poisoned")) expect(outcomes.some((outcome) => outcome === "cancelled" || outcome === "faulted")).toBe(true);
  }
  expect(Math.min(...Object.values(counts))).toBeGreaterThan(20);
});
