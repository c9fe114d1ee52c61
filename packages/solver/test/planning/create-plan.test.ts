import { describe, expect, it } from "vitest";
import { createPlan } from "../../src/planning/create-plan.js";
import { requestOf } from "./support/table-machine.js";

describe("a plan", () => {
  it("prints", async () => {
    for (const mib of [16, 40, 80, 120, 400]) {
      const start = performance.now();
      const plan = await createPlan(requestOf(mib));
      console.log(mib, performance.now() - start, JSON.stringify({ ...plan, units: plan.units.slice(0, 4) }, null, 1));
    }
    expect(1).toBe(1);
  });
});
