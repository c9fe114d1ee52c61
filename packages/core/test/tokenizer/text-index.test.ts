import { describe, expect, it } from "vitest";
import { TextIndex } from "../../src/tokenizer/text-index.js";

const cutsOf = (texts: readonly string[]) => {
  const index = new TextIndex(texts.length);
  texts.forEach((text, value) => {
    index.add(text, value);
  });
  const cuts: (readonly [string, string, string])[] = [];
  index.forEachCut((left, right, whole) => cuts.push([texts[left]!, texts[right]!, texts[whole]!]));
  return cuts;
};

describe("a text index", () => {
  it("finds the cuts of a text into two known parts, shortest left part first", () => {
    expect(cutsOf(["a", "ab", "b", "abb", "bb"])).toEqual([
      ["a", "b", "ab"],
      ["a", "bb", "abb"],
      ["ab", "b", "abb"],
      ["b", "b", "bb"],
    ]);
  });

  it("keeps the first of equal texts", () => {
    const index = new TextIndex(4);
    for (const [value, text] of ["x", "x", "xx", "xx"].entries()) index.add(text, value);
    const cuts: number[][] = [];
    index.forEachCut((...values) => cuts.push(values));
    expect(cuts).toEqual([[0, 0, 2]]);
  });

  it("equals a search by strings, over random texts of few letters and pairs of code units", () => {
    let state = 11;
    const random = (n: number) => {
      state = (Math.imul(state, 48271) >>> 0) % 0x7fffffff;
      return state % n;
    };
    const letters = ["a", "b", "é", "🙂", "▁"];
    const texts = [
      ...new Set(Array.from({ length: 4000 }, () => Array.from({ length: 1 + random(7) }, () => letters[random(5)]).join(""))),
    ];
    const known = new Set(texts);
    const expected = texts.flatMap((text) =>
      Array.from({ length: text.length - 1 }, (_, cut) => [text.slice(0, cut + 1), text.slice(cut + 1), text] as const).filter(
        ([left, right]) => known.has(left) && known.has(right),
      ),
    );
    expect(cutsOf(texts)).toEqual(expected);
  });
});
