/** Opening by a plan: its settings are the defaults, its limits bind, and its word about bytes is held to. */
import { readFileSync, writeFileSync } from "node:fs";
import { createMemoryLedger, type MemoryLedger, type OffloadPlan } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { type OpenedModel, open, openEmbedder } from "../../src/index.js";
import { runHere } from "../support/in-process.js";
import { temporaryFolder } from "../support/paths.js";
import { tinyEmbeddingModel } from "../support/tiny-embedding-model.js";
import { tinyModel } from "../support/tiny-model.js";

const inFolder = temporaryFolder();
const path = inFolder("long.gguf");
writeFileSync(path, tinyModel({ metadata: { "llama.context_length": { type: "u32", value: 8192 } } }));
const oneThread = inFolder("machine.json");
const device = "cpu:0";

/** For a CPU of one thread, as tests may run where there are no more. */
async function plannedWith(...args: readonly string[]): Promise<OffloadPlan> {
  const { stdout, stderr } = await runHere("plan", path, "--machine", oneThread, ...args, "--json");
  expect(stderr).toBe("");
  return JSON.parse(stdout);
}

writeFileSync(
  oneThread,
  JSON.stringify({
    version: 1,
    name: "a core",
    source: "made up for a test",
    devices: [
      {
        id: device,
        kind: "cpu",
        backend: "reference",
        name: "Reference",
        memoryBytes: 2 ** 32,
        memoryBytesPerSecond: 1e10,
        contextBytes: 0,
        rates: {
          weightBytesPerSecond: { other: 1e8 },
          operationsPerSecond: { other: 1e8 },
          kvBytesPerSecond: 1e8,
          attentionOperationsPerSecond: 1e8,
          commandSeconds: 1e-6,
        },
      },
    ],
    links: [],
  }),
);

const bytesOf = (model: OpenedModel) =>
  Object.fromEntries(model.memory().map(({ device, byteLengthByClass }) => [device, byteLengthByClass]));

/** What a ledger holds when it is first asked: loading's own bytes, which a plan counts, are given back at its end. */
function watch(ledger: MemoryLedger) {
  const sums: Record<string, Record<string, number>> = {};
  const onProgress = () => {
    if (Object.keys(sums).length > 0) return;
    for (const { device, class: memoryClass, byteLength } of ledger.report()) {
      sums[device] ??= {};
      sums[device][memoryClass] = (sums[device][memoryClass] ?? 0) + byteLength;
    }
  };
  return { sums, onProgress };
}

/** Classes with any bytes. */
const withoutZeros = (bytes: Readonly<Record<string, Readonly<Record<string, number>>>>) =>
  Object.fromEntries(
    Object.entries(bytes).map(([device, classes]) => [
      device,
      Object.fromEntries(Object.entries(classes).filter(([, count]) => count > 0)),
    ]),
  );

describe("opening by a plan", () => {
  it("takes its settings, limits and exactly its bytes", async () => {
    const limits = ["--budget", `${device}=4MiB`, "--reserve", `${device}=1MiB`];
    const plan = await plannedWith("--context", "512", "--sequences", "2", "--batch-tokens", "64", "--kv-type-k", "f16", ...limits);
    const ledger = createMemoryLedger();
    const notices: string[] = [];
    const { sums, onProgress } = watch(ledger);
    await using model = await open(path, { plan, ledger, onProgress, onNotice: (notice) => notices.push(notice) });
    expect(model.contextLength).toBe(512);
    expect(sums).toEqual(withoutZeros(plan.bytes as never));
    const { staging, ...others } = withoutZeros(bytesOf(model))[device]!;
    expect(sums[device]).toMatchObject(others);
    expect(staging).toBeLessThan(sums[device]!.staging!);
    expect([ledger.budget(device), ledger.standingReserve(device)]).toEqual([4 * 2 ** 20, 2 ** 20]);
    expect(model.statistics().kvCaches[0]!.numBlocks).toBe(32);
    expect(notices).toEqual([]);
  });

  it("is overridden by what is asked, says what that changes, and sizes the cache anew", async () => {
    const plan = await plannedWith("--context", "512", "--sequences", "2");
    const notices: string[] = [];
    await using model = await open(path, { plan, contextLength: 256, onNotice: (notice) => notices.push(notice) });
    expect(model.contextLength).toBe(256);
    expect(model.statistics().kvCaches[0]!.numBlocks).toBe(16);
    expect(notices).toEqual([
      expect.stringMatching(/^other settings than the plan's take other bytes than it says: cpu:0 .* in place of /),
    ]);
    await using same = await open(path, { plan, contextLength: 512, onNotice: (notice) => notices.push(notice) });
    expect(same.contextLength).toBe(512);
    expect(notices).toHaveLength(1);
  });

  it("refuses what its budget less its reserve cannot hold, with a cure that opens it", async () => {
    const plan = await plannedWith("--context", "2048", "--budget", `${device}=2MiB`, "--reserve", `${device}=64KiB`);
    const longer = open(path, { plan, contextLength: 8192 });
    await expect(longer).rejects.toMatchObject({ code: "insufficient-memory", device, remedy: { settings: expect.anything() } });
    const { remedy } = await longer.catch((error) => error);
    await using model = await open(path, { plan, ...remedy.settings });
    expect(model.contextLength).toBeLessThanOrEqual(8192);
    await using longest = await open(path, { plan, contextLength: "max" });
    expect(longest.contextLength).toBe(remedy.settings.contextLength);
  });

  it("refuses a plan whose bytes are not true, before anything is reserved", async () => {
    const plan = await plannedWith("--context", "512");
    const ledger = createMemoryLedger();
    const edited = { ...plan, bytes: { [device]: { ...plan.bytes![device], weights: plan.bytes![device]!.weights! - 32 } } };
    await expect(open(path, { plan: edited, ledger })).rejects.toMatchObject({ code: "invalid-plan", subject: 'bytes["cpu:0"].weights' });
    expect([ledger.report(), ledger.budget(device)]).toEqual([[], 0]);
  });
});

describe("a KV budget", () => {
  const opening = { backend: "reference", budgetBytes: 8_000_000 } as const;
  /** Keys and values of a token over both layers, in f32. */
  const bytesPerToken = 2 * 2 * 16 * 4;

  it.each([
    ["tokens:320", 320],
    ["100KiB", Math.floor((100 * 1024) / bytesPerToken / 32) * 32],
    ["total:0.05", Math.floor((8_000_000 * 0.05) / bytesPerToken / 32) * 32],
  ])("of %s is a cache of %d tokens, and a context that it holds", async (kvBudget, tokens) => {
    await using model = await open(path, { ...opening, kvBudget });
    expect(model.statistics().kvCaches[0]!.numBlocks * 32).toBe(tokens);
    expect(model.contextLength).toBe(tokens);
  });

  it("as LMDeploy means it is of what the weights leave of a guarantee, whoever came first", async () => {
    const ledger = createMemoryLedger();
    const sizes = async (...others: readonly OpenedModel[]) => {
      await using model = await open(path, { ...opening, ledger, owner: "own", guaranteedBytes: 2_000_000, kvBudget: "lmdeploy:0.5" });
      expect(others).toBeDefined();
      return model.memory()[0]!.byteLengthByClass;
    };
    const alone = await sizes();
    await using other = await open(path, { ...opening, ledger, contextLength: 1024 });
    expect(await sizes(other)).toEqual(alone);
    expect(alone["kv-cache"]).toBeLessThanOrEqual(0.5 * (2_000_000 - alone.weights!));
    expect(alone["kv-cache"]).toBeGreaterThan(0.5 * (2_000_000 - alone.weights!) - 32 * bytesPerToken);
  });

  it.each([
    ["beside tokens", { kvBudget: "1MiB", kvCacheTokens: 64 }, /beside kvCacheTokens/],
    ["beside the longest context", { kvBudget: "1MiB", contextLength: "max" }, /beside the longest context/],
    ["in nobody's words", { kvBudget: "half" }, /"half" is neither bytes nor tokens nor a fraction/],
    ["of fewer tokens than the context", { kvBudget: "tokens:64", contextLength: 128 }, /128/],
  ] as const)("%s is refused", async (_what, options, message) => {
    const ledger = createMemoryLedger();
    const refused = open(path, { ...opening, ledger, ...options });
    await expect(refused).rejects.toMatchObject({ code: "invalid-request", parameter: "kvBudget" });
    await expect(refused).rejects.toThrow(message);
    expect(ledger.report()).toEqual([]);
  });
});

it("run takes a plan that plan wrote, and the longest context that fits", async () => {
  const out = inFolder("own.plan.json");
  await runHere("plan", path, "--machine", oneThread, "--context", "96", "--out", out);
  const run = ["run", path, "--prompt", "a", "--max-tokens", "2", "--temperature", "0", "--ignore-eos", "--json", "--stats"];
  const { exitCode, stdout, stderr } = await runHere(...run, "--plan", out);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  const { memory } = JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
  expect(memory[0].byteLengthByClass["kv-cache"]).toBe(96 * 2 * 2 * 16 * 4);
  const budgeted = await runHere(...run, "--backend", "reference", "--kv-budget", "tokens:64", "--reserve", "reference:0=1MiB");
  expect(JSON.parse(budgeted.stdout.trimEnd().split("\n").at(-1)!).memory[0].byteLengthByClass["kv-cache"]).toBe(64 * 2 * 2 * 16 * 4);
  const longest = await runHere(...run, "--plan", out, "--context", "max", "--budget", `${device}=600KiB`);
  expect(longest.exitCode).toBe(0);
  expect(JSON.parse(longest.stderr)).toEqual({ notice: expect.stringContaining("in place of") });
});

it("an embedder opens by a plan with its settings and exactly its bytes", async () => {
  const embeddings = inFolder("embeddings.gguf");
  const out = inFolder("embeddings.plan.json");
  writeFileSync(embeddings, tinyEmbeddingModel());
  const planned = await runHere("plan", embeddings, "--machine", oneThread, "--sequences", "4", "--batch-tokens", "16", "--out", out);
  expect(planned).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^model +tiny embeddings, bert/) });
  const notices: string[] = [];
  const plan: OffloadPlan = JSON.parse(readFileSync(out, "utf8"));
  const ledger = createMemoryLedger();
  const { sums, onProgress } = watch(ledger);
  await using embedder = await openEmbedder(embeddings, { plan, ledger, onProgress, onNotice: (notice) => notices.push(notice) });
  expect(sums).toEqual(withoutZeros(plan.bytes as never));
  expect(notices).toEqual([]);
  expect(await embedder.embed(["a lake", "a sea"])).toHaveLength(2);
});
