import { InvalidRequestError } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createPlan } from "../../src/planning/create-plan.js";
import type { PlanRequest } from "../../src/planning/plan-request.js";
import { device, GiB, MiB, machineOf, requestOf } from "./support/table-machine.js";

const budget = (budgetBytes: number, reserveBytes?: number): Partial<PlanRequest> => ({
  budgets: { "cuda:0": { budgetBytes, ...(reserveBytes !== undefined && { reserveBytes }) } },
});
const twoHosts = machineOf(device("cpu:0", GiB, 40), device("cpu:1", GiB, 20));

const cases: readonly [what: string, more: Partial<PlanRequest>, parameter: string, message: RegExp][] = [
  ["a negative budget", budget(-1), 'budgets["cuda:0"].budgetBytes', /is -1/],
  ["an endless budget", budget(Number.POSITIVE_INFINITY), 'budgets["cuda:0"].budgetBytes', /is Infinity/],
  ["a budget that is no number", budget(Number.NaN), 'budgets["cuda:0"].budgetBytes', /is NaN/],
  ["a budget above the device", budget(9 * GiB), 'budgets["cuda:0"].budgetBytes', /the device has 8589934592; give at most 8589934592/],
  ["a reserve above the budget", budget(GiB, 2 * GiB), 'budgets["cuda:0"].reserveBytes', /above the budget of 1073741824/],
  ["a negative reserve", budget(GiB, -1), 'budgets["cuda:0"].reserveBytes', /is -1/],
  ["a budget of no device", { budgets: { "cuda:7": { budgetBytes: 1 } } }, "budgets", /cuda:7.*name one of cpu:0, cuda:0/],
  [
    "budgets of host devices beyond their memory",
    { machine: twoHosts, budgets: { "cpu:0": { budgetBytes: 700 * MiB }, "cpu:1": { budgetBytes: 700 * MiB } } },
    "budgets",
    /cpu:0 734003200, cpu:1 734003200/,
  ],
  ["no devices", { machine: machineOf(), budgets: {} }, "machine", /has no devices/],
  [
    "two devices of one name",
    { machine: machineOf(device("cpu:0", GiB, 1), device("cpu:0", GiB, 1)), budgets: {} },
    "machine",
    /two devices/,
  ],
  ["a backend without traits", { traits: {} }, "traits", /none for backend cpu of cpu:0/],
  ["a context past the model's", { settings: { contextLength: 32_769 } }, "contextLength", /trained for 32768 tokens; give at most 32768/],
  ["a context that is no number of tokens", { settings: { contextLength: 0 } }, "contextLength", /is 0/],
  [
    "a workload past the context",
    { settings: { contextLength: 600 }, workload: { promptTokens: 500, outputTokens: 200 } },
    "workload",
    /700 tokens.*holds 600; raise contextLength to 700/,
  ],
  ["a workload past the model", { workload: { promptTokens: 40_000 } }, "workload", /the model reads 32768/],
  [
    "more sequences than there is room for",
    { settings: { maxSequences: 2 }, workload: { batch: 3 } },
    "workload",
    /raise maxSequences to 3/,
  ],
  ["more tokens at a time than the cache holds", { settings: { kvCacheTokens: 500 } }, "workload", /holds 500; raise kvCacheTokens to 768/],
  ["a workload without tokens", { workload: { promptTokens: 0, outputTokens: 0 } }, "workload", /no tokens/],
  ["half a token", { workload: { outputTokens: 0.5 } }, "workload.outputTokens", /is 0.5/],
  ["no sequence", { workload: { batch: 0 } }, "workload.batch", /from 1 on/],
  ["an unknown solver", { solver: "magic" as "auto" }, "solver", /use auto, greedy or exact/],
  ["an unknown strategy", { strategy: "hope" as "plan" }, "strategy", /use one of plan, whole-layer/],
  ["a time limit that is none", { timeLimitMs: 0 }, "timeLimitMs", /is 0/],
  ["a gap that is none", { gap: 1 }, "gap", /is 1/],
];

describe("a request that cannot be", () => {
  it.each(cases)("is refused: %s", async (_, more, parameter, message) => {
    const error: unknown = await createPlan(requestOf(60, {}, more)).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(InvalidRequestError);
    expect(error).toMatchObject({ code: "invalid-request", parameter });
    expect((error as Error).message).toMatch(message);
  });
});
