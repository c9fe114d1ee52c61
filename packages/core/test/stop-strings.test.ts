import { describe, expect, it } from "vitest";
import { StopStrings } from "../src/stop-strings.js";

function stream(pieces: readonly string[], stops: readonly string[]): { text: string; stopped: boolean } {
  const found = new StopStrings(stops);
  let text = "";
  for (const piece of pieces) {
    const result = found.push(piece);
    text += result.text;
    if (result.stopped) return { text, stopped: true };
  }
  return { text: text + found.end(), stopped: false };
}

describe("stop strings", () => {
  it("ends before a stop string that spans pieces", () => {
    expect(stream(["He said", " th", "e e", "nd. More"], ["the end"])).toEqual({ text: "He said ", stopped: true });
  });

  it("gives back what only looked like the beginning of one", () => {
    expect(stream(["a", "b", "a", "b", "c"], ["abab!"])).toEqual({ text: "ababc", stopped: false });
  });

  it("ends before the first of several", () => {
    expect(stream(["one two three"], ["three", "two"])).toEqual({ text: "one ", stopped: true });
  });

  it("equals a search in the whole text, however it is cut", () => {
    const alphabet = "ab";
    let state = 7;
    const random = (n: number) => {
      state = (Math.imul(state, 48271) >>> 0) % 0x7fffffff;
      return state % n;
    };
    const word = (length: number) => Array.from({ length }, () => alphabet[random(2)]).join("");
    for (let trial = 0; trial < 2000; trial++) {
      const text = word(1 + random(20));
      const stops = Array.from({ length: 1 + random(3) }, () => word(1 + random(5)));
      const pieces: string[] = [];
      for (let index = 0; index < text.length; ) {
        const length = 1 + random(4);
        pieces.push(text.slice(index, index + length));
        index += length;
      }
      const result = stream(pieces, stops);
      expect(result.stopped).toBe(stops.some((stop) => text.includes(stop)));
      if (!result.stopped) expect(result.text).toBe(text);
      else {
        // A stop is seen at the end of the piece that completes it, so an earlier beginning may win only inside that piece.
        expect(text.startsWith(result.text)).toBe(true);
        expect(stops.some((stop) => text.startsWith(stop, result.text.length))).toBe(true);
      }
    }
  });
});
