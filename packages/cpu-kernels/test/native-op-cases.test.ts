import { opNames } from "@thermocline/spec";
import { afterAll, describe, expect, it } from "vitest";
import { type CpuIsa, createCpuBackend } from "../src/index.js";
import { opCases, runOpCase } from "../src/op-cases/index.js";
import { hasAddon, isas } from "./native-fixture.js";

const variants = isas.flatMap((isa) => [1, 2].map((threads) => ({ isa: isa as CpuIsa, threads })));

describe.runIf(hasAddon)("op cases", () => {
  describe.each(variants)("on $isa with $threads threads", ({ isa, threads }) => {
    const backend = createCpuBackend({ isa, threads });
    const passedOps = new Set<string>();
    afterAll(async () => {
      await backend[Symbol.asyncDispose]();
      expect(backend.statistics().allocatedBytes).toBe(0);
    });

    it.each(opCases.map((opCase) => [opCase.name, opCase] as const))("%s", async (_name, opCase) => {
      const { status, detail } = await runOpCase(opCase, backend);
      expect(status, detail).not.toBe("failed");
      if (status === "passed") passedOps.add(opCase.op);
    });

    it("left no op without a case that ran", () => {
      const kernels = opNames.filter((op) => op !== "signal" && op !== "wait");
      expect([...passedOps].sort()).toEqual(kernels.sort());
    });
  });
});
