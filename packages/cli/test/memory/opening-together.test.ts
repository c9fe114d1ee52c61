/** Models that share a ledger: what each gets does not depend on who came first. */
import { writeFileSync } from "node:fs";
import { createMemoryLedger, type MemoryLedger } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { type OpenedModel, type OpenOptions, open } from "../../src/index.js";
import { temporaryFolder } from "../support/paths.js";
import { tinyModel } from "../support/tiny-model.js";

const inFolder = temporaryFolder();
const named = (name: string): string => {
  const path = inFolder(`${name}.gguf`);
  const metadata = { "general.name": name, "llama.context_length": { type: "u32", value: 32768 } } as const;
  writeFileSync(path, tinyModel({ metadata }));
  return path;
};
const paths = { chat: named("chat"), draft: named("draft") };
type Name = keyof typeof paths;

const device = "reference:0";
const guaranteed: Readonly<Record<Name, number>> = { chat: 3_000_000, draft: 1_700_000 };
const optionsFor = (name: Name, ledger: MemoryLedger): OpenOptions => ({
  ledger,
  backend: "reference",
  budgetBytes: 5_000_000,
  reserveBytes: 200_000,
  guaranteedBytes: guaranteed[name],
  contextLength: "max",
});

/** Every live reservation, by owner, class and label. */
const bytesOf = (ledger: MemoryLedger) =>
  ledger
    .report()
    .map(({ owner, class: memoryClass, label, byteLength }) => `${owner} ${memoryClass} ${label} ${byteLength}`)
    .sort();

async function openAll(ledger: MemoryLedger, names: readonly Name[], isAtOnce: boolean): Promise<readonly string[]> {
  const models: OpenedModel[] = [];
  const loading = new Set<string>();
  const onProgress = () => {
    for (const line of bytesOf(ledger)) if (line.includes("weights being loaded")) loading.add(line);
  };
  const openOne = (name: Name) => open(paths[name], { ...optionsFor(name, ledger), onProgress }).then((model) => models.push(model));
  if (isAtOnce) await Promise.all(names.map(openOne));
  else for (const name of names) await openOne(name);
  const bytes = [...bytesOf(ledger), ...[...loading].sort()];
  for (const model of models) await model[Symbol.asyncDispose]();
  expect(ledger.report()).toEqual([]);
  expect(ledger.guarantees()).toEqual([]);
  return bytes;
}

describe("two models with guaranteed minimums and the longest context", () => {
  it("get the same bytes opened at once, in turn, and in the other turn, and nearly all that is guaranteed", async () => {
    const atOnce = await openAll(createMemoryLedger(), ["chat", "draft"], true);
    expect(await openAll(createMemoryLedger(), ["chat", "draft"], false)).toEqual(atOnce);
    expect(await openAll(createMemoryLedger(), ["draft", "chat"], false)).toEqual(atOnce);
    for (const [name, bytes] of Object.entries(guaranteed)) {
      const total = atOnce.reduce((sum, line) => sum + (line.startsWith(`${name} `) ? Number(line.split(" ").at(-1)) : 0), 0);
      expect(total).toBeLessThanOrEqual(bytes);
      expect(total).toBeGreaterThan(bytes * 0.98);
    }
  });

  it("are refused where their guarantees exceed the budget, naming who holds what, and leave nothing behind", async () => {
    const ledger = createMemoryLedger();
    await using _chat = await open(paths.chat, { ...optionsFor("chat", ledger), contextLength: 64 });
    const before = bytesOf(ledger);
    const refused = open(paths.draft, { ...optionsFor("draft", ledger), guaranteedBytes: 1_900_000 });
    await expect(refused).rejects.toMatchObject({ code: "insufficient-memory", device, needBytes: 1_900_000, haveBytes: 1_800_000 });
    await expect(refused).rejects.toThrow(/guaranteed to chat \(\d+\)/);
    await expect(refused).rejects.toThrow(/standing reserve \(200000\)/);
    expect(bytesOf(ledger)).toEqual(before);
    expect(ledger.guarantees().map(({ owner }) => owner)).toEqual(["chat"]);
  });

  it("may borrow what nobody is guaranteed, and no more", async () => {
    const ledger = createMemoryLedger();
    await using _chat = await open(paths.chat, { ...optionsFor("chat", ledger), contextLength: 64 });
    await using draft = await open(paths.draft, { ledger, backend: "reference", contextLength: "max" });
    expect(ledger.available(device)).toBeGreaterThanOrEqual(0);
    const taken = Object.values(draft.memory()[0]!.byteLengthByClass).reduce((sum, bytes) => sum + bytes, 0);
    expect(taken).toBeLessThanOrEqual(1_800_000);
    expect(ledger.available(device, "chat")).toBeGreaterThan(2_500_000);
  });

  it("keep no guarantee of an opening that fails while it loads", async () => {
    const ledger = createMemoryLedger();
    const controller = new AbortController();
    const onProgress = () => controller.abort(new Error("enough"));
    await expect(open(paths.chat, { ...optionsFor("chat", ledger), signal: controller.signal, onProgress })).rejects.toThrow("enough");
    expect([ledger.report(), ledger.guarantees(), ledger.budget(device), ledger.standingReserve(device)]).toEqual([[], [], 0, 0]);
  });
});

describe("limits of an opening", () => {
  it.each([
    ["a reserve above the budget", { budgetBytes: 1000, reserveBytes: 1001 }, "reserveBytes", /above its budget of 1000/],
    ["a reserve below 0", { reserveBytes: -1 }, "reserveBytes", /is -1/],
    [
      "a guarantee of a device that is not opened",
      { guaranteedBytes: { "cuda:7": 1 } },
      "guaranteedBytes",
      /names cuda:7, which is not opened/,
    ],
    ["a guarantee that is no number", { guaranteedBytes: Number.NaN }, "guaranteedBytes", /is NaN/],
  ])("refuse %s", async (_what, limits, parameter, message) => {
    const ledger = createMemoryLedger();
    const refused = open(paths.chat, { ledger, backend: "reference", ...limits });
    await expect(refused).rejects.toMatchObject({ code: "invalid-request", parameter });
    await expect(refused).rejects.toThrow(message);
    expect([ledger.report(), ledger.guarantees(), ledger.budget(device)]).toEqual([[], [], 0]);
  });
});
