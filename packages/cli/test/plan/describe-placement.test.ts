import type { OffloadPlan, OffloadPlanUnit } from "@thermocline/spec";
import { expect, it } from "vitest";
import { describePlacement } from "../../src/planning/describe-placement.js";

const plan = (units: readonly OffloadPlanUnit[]): OffloadPlan => ({
  version: 1,
  model: "0",
  devices: { "cuda:0": { backend: "cuda" }, "cuda:1": { backend: "cuda" }, "cpu:0": { backend: "cpu" } },
  units,
});

it("a placement is told by device: whole layers, parts of layers, and what belongs to none", () => {
  const layers = [0, 1, 2, 3].flatMap((layer): OffloadPlanUnit[] => [
    { id: `blk.${layer}.attention`, device: "cuda:0" },
    ...(layer < 2
      ? [{ id: `blk.${layer}.feed-forward`, device: "cuda:0" }]
      : [
          { id: `blk.${layer}.feed-forward`, device: "cuda:0", rows: [[0, 32 * layer] as const] },
          { id: `blk.${layer}.feed-forward`, device: "cpu:0", rows: [[32 * layer, 128 - 32 * layer] as const] },
        ]),
  ]);
  const described = describePlacement(plan([{ id: "embedding", device: "cpu:0" }, ...layers, { id: "head", device: "cuda:0" }]));
  expect([...described]).toEqual([
    ["cuda:0", "layers 0-1; attention of layers 2-3; 50 to 75 % of feed-forward of layers 2-3; head"],
    ["cpu:0", "25 to 50 % of feed-forward of layers 2-3; embedding"],
  ]);
});

it("experts of one layer on two devices are shares of that layer", () => {
  const units: OffloadPlanUnit[] = [
    { id: "blk.0.router", device: "cuda:0" },
    { id: "blk.0.experts", device: "cuda:0", rows: [[0, 3]] },
    { id: "blk.0.experts", device: "cpu:0", rows: [[3, 5]] },
  ];
  expect([...describePlacement(plan(units)).values()]).toEqual([
    "router of layer 0; 38 % of experts of layer 0",
    "63 % of experts of layer 0",
  ]);
});
