import type { OffloadUnit } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { activeBytesPerToken } from "../../src/command-line/benchmark/active-bytes.js";
import { spreadOf } from "../../src/command-line/benchmark/spread.js";

const unit = (kind: OffloadUnit["kind"], alwaysBytes: number, conditionalBytes = 0, activationFrequency = 1): OffloadUnit => ({
  id: kind,
  kind,
  layer: 0,
  tensors: [],
  weights: [{ dtype: "q8_0", alwaysBytes, conditionalBytes }],
  activationFrequency,
  numCommands: 1,
});

describe("bytes that a token reads", () => {
  it("are a row of the embedding, the experts that are expected, and everything else", () => {
    const units = [unit("embedding", 0, 1000, 0.01), unit("attention", 50), unit("experts", 4, 800, 0.25), unit("head", 1000)];
    expect(activeBytesPerToken(units)).toBe(10 + 50 + 4 + 200 + 1000);
  });
});

describe("a spread", () => {
  it("has the middle of its samples, or the mean of the two in the middle", () => {
    expect(spreadOf([5, 1, 3])).toEqual({ median: 3, minimum: 1, maximum: 5, samples: [5, 1, 3] });
    expect(spreadOf([5, 1, 3, 9]).median).toBe(4);
    expect(spreadOf([2]).median).toBe(2);
  });
});
