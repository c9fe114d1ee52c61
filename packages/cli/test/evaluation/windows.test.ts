import { describe, expect, it } from "vitest";
import { cutWindows, scoredPositions, shortestWindow } from "../../src/command-line/evaluation/windows.js";

const ids = (length: number) => Array.from({ length }, (_, index) => index + 10);

describe("windows of a text", () => {
  it("follow each other, begin with BOS where texts do, and leave out the rest", () => {
    const windows = [...cutWindows(ids(11), 4, { addBos: true, special: { bos: 1 } })];
    expect(windows).toEqual([
      { tokenIds: [1, 11, 12, 13], firstPosition: 2 },
      { tokenIds: [1, 15, 16, 17], firstPosition: 2 },
    ]);
  });

  it.each([
    ["the vocabulary adds none", { addBos: false, special: { bos: 1 } }],
    ["it names none", { addBos: true, special: {} }],
  ])("keep their first token where %s", (_what, vocabulary) => {
    expect([...cutWindows(ids(4), 4, vocabulary)][0]!.tokenIds).toEqual(ids(4));
    expect([...cutWindows(ids(3), 4, vocabulary)]).toEqual([]);
  });

  it.each([
    [3, 1],
    [4, 1],
    [5, 2],
    [128, 63],
    [512, 255],
  ])("of %i tokens have %i scored positions", (contextLength, count) => {
    const [window] = cutWindows(ids(contextLength), contextLength, { addBos: false, special: {} });
    expect(scoredPositions(contextLength)).toBe(count);
    // The last token predicts nothing that is known.
    expect(contextLength - 1 - window!.firstPosition).toBe(count);
  });

  it("shorter than the shortest score nothing", () => {
    expect(scoredPositions(shortestWindow)).toBe(1);
    expect(scoredPositions(shortestWindow - 1)).toBe(0);
  });
});
