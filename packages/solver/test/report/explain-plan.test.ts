import type { OffloadPlan } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createSharePlan, explainPlan } from "../../src/index.js";
import { barCells, wrapLines } from "../../src/report/text-table.js";
import { mixturePlan, splitPlan } from "../support/example-plans.js";
import { model, units } from "../support/example-units.js";
import { createRandom, randomPlan, randomUnits } from "../support/random-plans.js";

// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape that begins a colour
const colourCode = /\u001b\[\d+m/g;

describe("explainPlan", () => {
  it("says what the plan is for, how fast it should be and how good it is", () => {
    const lines = explainPlan(splitPlan()).split("\n");
    expect(lines.slice(0, 4)).toEqual([
      "Llama 3.3 70B Instruct (llama, q4_k, 80 layers, 39.3 GiB of weights)",
      "settings: context 8,192, steps of 512 tokens, 1 sequence, keys and values q8_0",
      "workload: a prompt of 512 tokens, an answer of 256, 1 at a time",
      "machine: rtx4090+ddr5-6000 (published figures)",
    ]);
    const text = lines.join(" ").replace(/ +/g, " ");
    expect(text).toContain("predicted: 5.21 s to the first token, then 10.4 tokens a second (96.20 ms a step)");
    expect(text).toContain(
      "solver: greedy 0.1.0, feasible, not proven optimal; no placement takes less than 29.70 s for the workload, 0.42 %",
    );
  });

  it("tells addresses of published figures apart from what they are of", () => {
    const machine = { name: "two cards", source: "assumed from sizes alone; https://example.com/card https://example.com/memory" };
    const lines = explainPlan({ ...splitPlan(), machine }).split("\n");
    expect(lines).toContain("machine: two cards (assumed from sizes alone; published figures)");
    expect(lines).toContain("figures from https://example.com/card https://example.com/memory");
  });

  it("accounts for every class of every device, and for what is left", () => {
    const lines = explainPlan(splitPlan()).split("\n");
    expect(lines).toContain("cuda:0  NVIDIA GeForce RTX 4090, cuda; 19.7 GiB of 24.0 GiB");
    for (const row of [
      "weights       17.2 GiB   22.1 GiB   39.3 GiB",
      "kv-cache      1.25 GiB          -   1.25 GiB",
      "together      19.7 GiB   22.2 GiB   41.9 GiB",
      "kept free    512.0 MiB          -",
      "left          3.79 GiB   35.8 GiB",
    ])
      expect(lines).toContain(row);
  });

  it("draws a bar for each device in the proportions of its budget", () => {
    const bar = explainPlan(splitPlan(), { width: 104 }).match(/\[(W.*)\]/)![1]!;
    expect(bar).toHaveLength(100);
    // 17.2, 1.25 and 0.79 of 24 GiB.
    expect(bar).toMatch(/^W{70,73}K{5}A{3}TGC{1,2}RR\.{15,17}$/);
  });

  it("folds layers that lie alike, and tells the range of what differs among them", () => {
    const text = explainPlan(splitPlan());
    expect(text).toMatch(/^layers 0-13 +6\.86 GiB {2}a{24} {2}all on cuda:0$/m);
    const words = text.replace(/\n +/g, " ");
    expect(words).toMatch(
      /^layers 14-79 +32\.4 GiB {2}a{8}b{16} {2}attention on cuda:0; feed-forward cuda:0 13-18 % \(active 72 %\), cpu:0 82-87 %/m,
    );
    const mixture = explainPlan(mixturePlan());
    expect(mixture.match(/^layers? .*/gm)!.map((line) => line.split("  ")[0])).toEqual(["layers 0-2", "layers 3-30", "layers 31-60"]);
  });

  it("breaks no entry of the legend", () => {
    expect(explainPlan(splitPlan(), { width: 96 })).toMatch(/R reserve\n {2}\. free\n/);
  });

  it("gives each reason once, with how much it moved", () => {
    const text = explainPlan(splitPlan());
    expect(text).toContain("  cuda:0: hottest neurons that fit (66 units, 4.00 GiB)\n");
    expect(text).toContain("  cuda:0: read whole at every token (head, 822.0 MiB)\n");
  });

  it("shows rivals side by side, with a star at the fastest of each depth", () => {
    const table = explainPlan(splitPlan()).split("\n").slice(-5);
    expect(table[1]).toMatch(/^at depth +128 +4,096 +32,768 +128 +4,096 +32,768$/);
    expect(table[2]).toMatch(/^plan +492\* +331\* +98\.1\* +14\.9\* +12\.5\* +5\.69\*$/);
    expect(table[3]).not.toContain("*");
  });

  it("calls estimates what they are", () => {
    const text = explainPlan(mixturePlan());
    expect(text).toContain("estimated, not exact: no graph of deepseek2 is known here");
    expect(text).toMatch(/^at most +34\.4 GiB/m);
    expect(explainPlan(splitPlan())).not.toContain("estimated");
  });

  it("is plain ASCII within the width, and the same text in colours where they are asked for", () => {
    for (const plan of [splitPlan(), mixturePlan()]) {
      for (const width of [100, 120]) {
        const plain = explainPlan(plan, { width });
        expect(plain).toMatch(/^[\x20-\x7e\n]*$/);
        expect(plain).not.toMatch(/ $/m);
        for (const line of plain.split("\n")) expect(line.length, line).toBeLessThanOrEqual(width);
      }
      const coloured = explainPlan(plan, { colour: true });
      expect(coloured).toContain("\u001b[34m\u2588\u2588");
      const withoutBars = (text: string) =>
        text
          .replace(colourCode, "")
          .split("\n")
          .filter((line) => !/^ {2}\S/.test(line) || line.startsWith("  cuda:0:"));
      expect(withoutBars(coloured)).toEqual(withoutBars(explainPlan(plan)));
    }
  });

  it("explains a hand-written plan by the little that it says", () => {
    const devices = { "cpu:0": { backend: "cpu", threads: 2 }, "reference:0": { backend: "reference" } };
    const text = explainPlan(createSharePlan({ model, units, devices, shares: { "reference:0": 0.25 } }));
    expect(text).toBe(
      [
        "plan for model 3f9a1c2b",
        "",
        "cpu:0  cpu, 2 threads",
        "reference:0  reference",
        "",
        "layers 0-1  feed-forward cpu:0 75 %, reference:0 25 %",
      ].join("\n"),
    );
    expect(explainPlan({ version: 1, model, devices, units: [] })).toMatch(/every unit on cpu:0$/);
  });

  it("lets no control character of a file reach the terminal", () => {
    const plan = splitPlan();
    const hostile: OffloadPlan = {
      ...plan,
      summary: { ...plan.summary!, name: "evil\u001b[2J\u0007" },
      units: [{ id: "embedding", device: "cpu:0", reason: "\u009b31m\nnew line" }],
    };
    const text = explainPlan(hostile);
    expect(text).toContain("evil\\x1b[2J\\x07");
    expect(text).toContain("\\x9b31m\\x0anew line");
  });

  it("explains any valid plan", () => {
    for (let seed = 0; seed < 150; seed++) {
      const random = createRandom(seed);
      const text = explainPlan(randomPlan(random, model, randomUnits(random)), { colour: seed % 2 === 0 });
      expect(text, `seed ${seed}`).not.toMatch(/NaN|undefined|Infinity/);
    }
  });
});

describe("bars", () => {
  it("fill the width in proportion, and show whatever is there", () => {
    for (let seed = 0; seed < 300; seed++) {
      const random = createRandom(seed);
      const parts = Array.from({ length: 1 + random(9) }, () => (random(4) === 0 ? 0 : 1 + random(10 ** (1 + random(9)))));
      const total = parts.reduce((sum, part) => sum + part, 0);
      const width = 10 + random(100);
      const cells = barCells(parts, total, width);
      expect(cells.reduce((sum, cell) => sum + cell, 0)).toBe(total === 0 ? 0 : width);
      for (const [index, part] of parts.entries()) {
        expect(cells[index]! > 0, `seed ${seed}`).toBe(part > 0);
        // Each of the other parts may have taken one cell that it was not due.
        expect(Math.abs(cells[index]! - (total === 0 ? 0 : (part / total) * width))).toBeLessThanOrEqual(parts.length);
      }
    }
  });
});

describe("wrapped lines", () => {
  it("break at spaces only, indent what follows, and keep the beginning's spaces", () => {
    expect(wrapLines("  one two three", 9, "    ")).toEqual(["  one two", "    three"]);
    expect(wrapLines("alongword a", 4)).toEqual(["alongword", "a"]);
    expect(wrapLines("", 10)).toEqual([""]);
  });
});
