/** What `plan` says when it cannot: one typed error with its cure, and a cure that works when it is tried. */
import { writeFileSync } from "node:fs";
import { machineFromPreset } from "@thermocline/solver";
import type { OffloadPlan } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { runHere } from "../support/in-process.js";
import { embeddedModel, splitPlan, temporaryFolder } from "../support/paths.js";
import { tinyModel } from "../support/tiny-model.js";

const inFolder = temporaryFolder();
const machine = ["--vram", "2GiB", "--ram", "4GiB"];
const plan = (...args: readonly string[]) => ["plan", embeddedModel, ...machine, ...args];

function file(name: string, content: string): string {
  writeFileSync(inFolder(name), content);
  return inFolder(name);
}

const profile = (change: (profile: Record<string, unknown>) => unknown) =>
  JSON.stringify(change(JSON.parse(JSON.stringify(machineFromPreset("rtx4090")))));

const cases: readonly [what: string, args: () => readonly string[], code: string, message: RegExp][] = [
  [
    "a budget above the device",
    () => plan("--budget", "cuda:0=3GiB"),
    "invalid-request",
    /--budget cuda:0: is 3221225472, the device has 2147483648; /,
  ],
  [
    "a reserve above the budget",
    () => plan("--reserve", "cuda:0=3GiB"),
    "invalid-request",
    /--reserve cuda:0: is 3221225472, above the budget/,
  ],
  ["a budget of a device that is not there", () => plan("--budget", "cuda:1=1GiB"), "invalid-request", /cuda:1.*name one of cuda:0, cpu:0/],
  ["a context past the model's", () => plan("--context", "257"), "invalid-request", /--context: is 257, stories15M was trained for 256/],
  ["a workload past the context", () => plan("--prompt-tokens", "300"), "invalid-request", /300|the model reads 256/],
  [
    "two pins for one unit",
    () => plan("--pin", "head=cpu:0", "--pin", "he.d=cuda:0"),
    "invalid-pin",
    /head is to lie on cuda:0, but head=cpu:0/,
  ],
  ["a pin to no device", () => plan("--pin", "head=cuda:7"), "invalid-pin", /there is no device cuda:7; use one of cuda:0, cpu:0/],
  ["a pin of no unit", () => plan("--pin", "tail=cpu:0"), "invalid-pin", /matches no unit of this model/],
  ["a pin that is no expression", () => plan("--pin", "(=cpu:0"), "invalid-pin", /is no regular expression/],
  [
    "a KV budget in nobody's words",
    () => plan("--kv-budget", "ollama:0.8"),
    "invalid-request",
    /--kv-budget: nobody's meaning is called "ollama"/,
  ],
  ["a fraction of nothing", () => plan("--kv-budget", "0.8"), "invalid-request", /"0\.8" does not say of what/],
  ["two questions", () => plan("--curve", "--units"), "invalid-request", /--units: was given beside --curve; ask one question at a time/],
  ["two unknowns", () => plan("--context", "max", "--kv-type", "max"), "invalid-request", /--kv-type: was given beside --context max/],
  ["a KV budget beside the longest context", () => plan("--context", "max", "--kv-budget", "1GiB"), "invalid-request", /--kv-budget/],
  ["one model to choose from", () => plan("--choose"), "invalid-request", /1 was given, --choose takes several models/],
  [
    "two models without a question",
    () => ["plan", embeddedModel, embeddedModel],
    "invalid-request",
    /2 were given.*add --choose or --together/,
  ],
  ["one plan to compare", () => ["plan", "--compare", splitPlan], "invalid-request", /1 was given, --compare takes two plans/],
  ["a claim without company", () => plan("--claim", "a=1GiB"), "invalid-request", /--claim: belongs to --together/],
  [
    "a claim of nobody",
    () => [...plan("--together", "--claim", "a=1GiB"), embeddedModel],
    "invalid-request",
    /names a, which is not planned; name one of stories15M-q8_0, stories15M-q8_0-2/,
  ],
  [
    "claims above the card",
    () => [...plan("--together", "--claim", "stories15M-q8_0=2GiB"), embeddedModel],
    "overclaimed-device",
    /cuda:0: models claim/,
  ],
  ["a curve of no GPU", () => ["plan", embeddedModel, "--ram", "4GiB", "--curve"], "invalid-request", /--curve: asks for a GPU's memory/],
  [
    "a speed that no size reaches",
    () => plan("--min-tokens-per-second", "1e9"),
    "target-out-of-reach",
    /no size of cuda:0 meets the target/,
  ],
  ["a drawing of a list", () => plan("--units", "--svg", inFolder("a.svg")), "invalid-request", /--svg: was given beside --units/],
  [
    "a machine of unknown parts",
    () => ["plan", embeddedModel, "--machine", "voodoo2"],
    "invalid-request",
    /--machine: "voodoo2" names "voodoo2", which is no known part.*rtx4090/,
  ],
  ["a profile that is not there", () => ["plan", embeddedModel, "--machine", inFolder("none.json")], "file-access", /does not exist/],
  [
    "a profile with a rate of 0",
    () => [
      "plan",
      embeddedModel,
      "--machine",
      file(
        "zero.json",
        profile((known) => ({ ...known, devices: [{ ...(known.devices as object[])[0], memoryBytesPerSecond: 0 }] })),
      ),
    ],
    "invalid-machine-profile",
    /devices\[0\]\.memoryBytesPerSecond/,
  ],
  [
    "more sizes than GPUs",
    () => ["plan", embeddedModel, "--machine", "rtx4090", "--vram", "1GiB,2GiB"],
    "invalid-request",
    /--vram: has 2 sizes/,
  ],
  ["a model that is not there", () => ["plan", inFolder("none.gguf"), ...machine], "file-access", /none\.gguf: does not exist/],
  ["a model cut short", () => ["plan", file("cut.gguf", "GGUF"), ...machine], "invalid-gguf", /cut\.gguf/],
  [
    "a folder to write into that is not there",
    () => plan("--out", inFolder("no/where.json")),
    "file-access",
    /no.where\.json: does not exist/,
  ],
  ["a plan to compare that is none", () => ["plan", "--compare", splitPlan, file("none.json", "{}")], "invalid-plan", /lacks "version"/],
];

describe("plan refuses", () => {
  it.each(cases)("%s", async (_what, args, code, message) => {
    const asJson = await runHere(...args(), "--json");
    expect(asJson).toMatchObject({ exitCode: 1, stdout: "" });
    const { error } = JSON.parse(asJson.stderr);
    expect(error.code).toBe(code);
    expect(error.message.endsWith(`; ${error.cure}`)).toBe(true);
    const { stderr } = await runHere(...args());
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
    expect(stderr).toMatch(message);
  });

  it.each([
    ["a negative budget", ["--budget", "cuda:0=-1GiB"], /Give a size with its unit/],
    ["a size without a unit", ["--vram", "8"], /Give a size with its unit, such as 8GiB/],
    ["a pin without a device", ["--pin", "head"], /Give a pattern of units, = and a device/],
    ["a time without a unit", ["--max-ttft", "2"], /Give a time with its unit, such as 2s or 800ms/],
    ["a context of words", ["--context", "most"], /A whole number from 1 is needed/],
    ["a solver that there is not", ["--solver", "oracle"], /Allowed choices are auto, greedy, exact/],
    ["no model", [], /missing required argument 'models'/],
  ])("%s, before it looks for the model", async (what, args, message) => {
    const { exitCode, stderr } = await runHere("plan", ...(what === "no model" ? [] : [inFolder("none.gguf")]), ...args);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(message);
  });
});

describe("where nothing fits", () => {
  const long = inFolder("long.gguf");
  writeFileSync(long, tinyModel({ metadata: { "llama.context_length": { type: "u32", value: 16384 } } }));
  const host = ["--vram", "0B", "--ram", "4GiB"];

  it.each([
    ["a shorter context", ["plan", long, ...host, "--context", "16384", "--budget", "cpu:0=2MiB"], /use (--context \d+), which fits/],
    [
      "one setting of several",
      ["plan", long, ...host, "--context", "1024", "--sequences", "4", "--kv-type", "f32", "--budget", "cpu:0=1200KiB"],
      /use (--[\w-]+ \w+), which fits/,
    ],
    [
      "a larger budget",
      ["plan", embeddedModel, ...host, "--context", "32", "--budget", "cpu:0=9MiB"],
      /raise the budget: (--budget cpu:0=\w+)/,
    ],
  ] as const)("the printed cure is %s, and succeeds", async (_what, args, cure) => {
    const refused = await runHere(...args);
    expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
    expect(refused.stderr).toMatch(/^error: no placement fits: cpu:0 lacks \d+ bytes; /);
    const [flag, value] = cure.exec(refused.stderr)![1]!.split(" ") as [string, string];
    const index = args.indexOf(flag as (typeof args)[number]);
    const cured: string[] = [...args];
    if (index >= 0) cured.splice(index, 2);
    expect(await runHere(...cured, flag, value)).toMatchObject({ exitCode: 0, stderr: "" });
  });
});

describe("a plan that was edited by hand is refused before anything is loaded", () => {
  const ownPlan = async (): Promise<OffloadPlan> => {
    const { stdout } = await runHere("plan", embeddedModel, "--vram", "0B", "--ram", "4GiB", "--json");
    return JSON.parse(stdout);
  };

  it.each([
    ["misses a unit", (known: OffloadPlan) => ({ ...known, units: known.units.slice(1) }), /embedding/],
    ["names another model", (known: OffloadPlan) => ({ ...known, model: "0123" }), /model is 0123/],
    [
      "cuts a block",
      (known: OffloadPlan) => ({
        ...known,
        units: [
          ...known.units.filter(({ id }) => id !== "blk.0.feed-forward"),
          { id: "blk.0.feed-forward", device: "cpu:0", rows: [[0, 100]] },
        ],
      }),
      /cut at row 100 .*multiple of 32/,
    ],
    [
      "states other bytes than it takes",
      (known: OffloadPlan) => ({ ...known, bytes: { "cpu:0": { ...known.bytes!["cpu:0"], "kv-cache": 32 } } }),
      /bytes\["cpu:0"\]\.kv-cache is 32, the units that it places there take \d+/,
    ],
    [
      "reserves more than it has",
      (known: OffloadPlan) => ({ ...known, devices: { "cpu:0": { ...known.devices["cpu:0"]!, budgetBytes: 10, reserveBytes: 20 } } }),
      /reserve/i,
    ],
  ])("that %s", async (what, change, message) => {
    const path = file(`${what.replaceAll(" ", "-")}.json`, JSON.stringify(change(await ownPlan())));
    const { exitCode, stderr } = await runHere("run", embeddedModel, "--prompt", "a", "--plan", path, "--json");
    expect(exitCode).toBe(1);
    expect(JSON.parse(stderr).error).toMatchObject({ code: "invalid-plan", message: expect.stringMatching(message) });
  });
});
