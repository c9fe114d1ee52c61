import type { OffloadPlan } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { drawPlan } from "../../src/index.js";
import { layoutOf } from "../../src/report/plan-layout.js";
import { heatOf } from "../../src/report/svg/heat.js";
import { piecesOf, scaleOf, tapeOf } from "../../src/report/svg/memory-tape.js";
import { mixturePlan, splitPlan } from "../support/example-plans.js";
import { model } from "../support/example-units.js";
import { createRandom, randomPlan, randomUnits } from "../support/random-plans.js";

/** Every element of well-formed markup, with its attributes. @throws Error where tags do not match or a text has a stray character. */
function elementsOf(markup: string): { readonly name: string; readonly attributes: Readonly<Record<string, string>> }[] {
  const open: string[] = [];
  const elements: { name: string; attributes: Record<string, string> }[] = [];
  const tag = /<(\/?)([a-z]+)((?: [a-zA-Z:-]+="[^"<]*")*) ?(\/?)>/y;
  for (let position = 0; position < markup.length; position = tag.lastIndex) {
    tag.lastIndex = position;
    const match = tag.exec(markup);
    if (match === null) {
      const end = markup.indexOf("<", position);
      const text = end === position ? undefined : markup.slice(position, end < 0 ? undefined : end);
      if (text === undefined || (open.at(-1) !== "style" && /[>]|&(?!(amp|lt|gt|quot|#39);)/.test(text)))
        throw new Error(`stray: ${markup.slice(position, position + 60)}`);
      tag.lastIndex = position + text.length;
      continue;
    }
    const [, closes, name, attributes, closesItself] = match;
    if (closes === "/") {
      if (open.pop() !== name) throw new Error(`${name} is closed, but was not open`);
      continue;
    }
    const pairs = [...attributes!.matchAll(/ ([a-zA-Z:-]+)="([^"]*)"/g)].map(([, key, value]) => [key!, value!]);
    elements.push({ name: name!, attributes: Object.fromEntries(pairs) });
    if (closesItself !== "/") open.push(name!);
  }
  if (open.length > 0) throw new Error(`${open.join(", ")} never closed`);
  return elements;
}

const titlesOf = (svg: string) => [...svg.matchAll(/<title>(.*?)<\/title>/g)].map(([, title]) => title!);

describe("drawPlan", () => {
  it("is well-formed, within its frame and free of anything from outside, for any plan", () => {
    const plans = Array.from({ length: 100 }, (_, seed) => {
      const random = createRandom(seed);
      return randomPlan(random, model, randomUnits(random));
    });
    for (const [index, plan] of [splitPlan(), mixturePlan(), ...plans].entries()) {
      const svg = drawPlan(plan);
      const elements = elementsOf(svg);
      const { width, height } = elements[0]!.attributes;
      const isInside = ({ x = "0", y = "0", width: own = "0", height: tall = "0" }: Readonly<Record<string, string>>) =>
        Number(x) >= 0 &&
        Number(x) + Number(own) <= Number(width) + 0.01 &&
        Number(y) >= 0 &&
        Number(y) + Number(tall) <= Number(height) + 0.01;
      expect(
        elements.filter(({ attributes }) => !isInside(attributes)),
        `plan ${index}`,
      ).toEqual([]);
      expect(["svg", "style", "rect", "text", "tspan", "g", "title"]).toEqual(expect.arrayContaining(elements.map(({ name }) => name)));
      expect(svg.replace('xmlns="http://www.w3.org/2000/svg"', "")).not.toMatch(/https?:|url\(|@import|<script|NaN|undefined|Infinity/);
    }
  });

  it("shows every unit on every device that holds some of it, with bytes, share, heat and reason", () => {
    const plan = splitPlan();
    const titles = titlesOf(drawPlan(plan));
    for (const { id, device } of plan.units) {
      const name = id.replace(/^blk\.(\d+)\./, "layer $1 ");
      expect(
        titles.some((title) => title.startsWith(`${name} on ${device}: `)),
        `${id} on ${device}`,
      ).toBe(true);
    }
    expect(titles).toContain(
      "layer 14 feed-forward on cuda:0: 70.7 MiB, 18 % of its rows, active for 72 % of tokens (hottest neurons that fit)",
    );
    expect(titles).toContain("layer 0 KV cache on cuda:0: 16.0 MiB");
    expect(titles).toContain("free on cuda:0: 3.79 GiB");
    expect(titles).toContain("kept free on cuda:0: 512.0 MiB");
    // 82.1 % of 396 MiB, of the 486 MiB of the layer.
    expect(titles).toContain("layer 79: 67 % on cpu:0 (82 % of feed-forward)");
  });

  it("follows the reader's light or dark scheme", () => {
    expect(drawPlan(splitPlan())).toContain("@media (prefers-color-scheme:dark)");
  });

  it("draws the same picture of the same plan", () => {
    expect(drawPlan(mixturePlan())).toBe(drawPlan(mixturePlan()));
  });

  it("writes names from files as text", () => {
    const plan = splitPlan();
    const hostile: OffloadPlan = {
      ...plan,
      summary: { ...plan.summary!, name: '</text><script>alert("1")</script>&\u0000' },
      machine: { name: "]]>", source: "<!--" },
      estimates: ["<b>"],
    };
    const svg = drawPlan(hostile);
    expect(() => elementsOf(svg)).not.toThrow();
    expect(svg).toContain("&lt;/text&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;\\x00");
  });
});

describe("the memory map", () => {
  it("lays every byte of a device on its rows exactly once, to one scale", () => {
    for (let seed = 0; seed < 60; seed++) {
      const random = createRandom(seed);
      const layout = layoutOf(randomPlan(random, model, randomUnits(random)));
      const { bytesPerRow } = scaleOf(layout.devices);
      for (const device of layout.devices) {
        const tape = tapeOf(device, layout, heatOf(layout));
        const total = device.usedBytes + device.reserveBytes + (device.freeBytes ?? 0);
        expect(tape.reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeCloseTo(total, 3);
        for (const [name, bytes] of device.classes)
          expect(tape.reduce((sum, cell) => sum + (cell.class === name ? cell.byteLength : 0), 0)).toBeCloseTo(bytes, 3);
        let position = 0;
        // Free space, the last, may be a million rows of these small plans.
        const drawn = tape.filter((cell) => cell.class !== "free");
        const misplaced = piecesOf(drawn, bytesPerRow).filter(({ row, offset, width }) => {
          const isAtItsPlace = Math.abs(row * bytesPerRow + offset - position) < 1e-2 && offset + width <= bytesPerRow * (1 + 1e-9);
          position += width;
          return !isAtItsPlace;
        });
        expect(misplaced, `seed ${seed}`).toEqual([]);
        expect(position).toBeCloseTo(device.usedBytes + device.reserveBytes, 2);
      }
    }
  });

  it("takes a readable number of rows, whatever the sizes", () => {
    for (const usedBytes of [1, 5e5, 24e6, 20e9, 7e11, 9e14]) {
      const { bytesPerRow } = scaleOf([{ id: "cpu:0", device: { backend: "cpu" }, classes: [], usedBytes, reserveBytes: 0 }]);
      expect(Math.ceil(usedBytes / bytesPerRow)).toBeLessThanOrEqual(15);
      if (usedBytes > 1e5) expect(Math.ceil(usedBytes / bytesPerRow)).toBeGreaterThan(6);
    }
  });

  it("says how much free space is left out where drawing it would hide the rest", () => {
    const plan = splitPlan();
    const roomy: OffloadPlan = { ...plan, devices: { ...plan.devices, "cpu:0": { backend: "cpu", budgetBytes: 2 ** 41 } } };
    expect(drawPlan(roomy)).toMatch(/… and 1\.98 TiB more that are free/);
    expect(drawPlan(plan)).not.toContain("more that are free");
  });

  it("lays hot rows on strongly and cold ones pale", () => {
    const layout = layoutOf(splitPlan());
    const heat = heatOf(layout);
    const parts = layout.units.find(({ id }) => id === "blk.20.feed-forward")!.parts;
    expect(parts.map((part) => [part.device, heat.opacityOf(part, "feed-forward")])).toEqual([
      ["cuda:0", 1],
      ["cpu:0", expect.closeTo(0.3)],
    ]);
    const whole = layout.units.find(({ id }) => id === "blk.2.feed-forward")!.parts[0]!;
    expect(heat.opacityOf(whole, "feed-forward")).toBe(0.8);
  });
});
