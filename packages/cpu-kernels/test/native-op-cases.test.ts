import { opNames } from "@thermocline/spec";
import { afterAll, describe, expect, it } from "vitest";
import { type CpuIsa, createCpuBackend } from "../src/index.js";
import { opCases, runOpCase } from "../src/op-cases/index.js";
import { hasAddon, isas } from "./native-fixture.js";

/** Every instruction set with threads that share the work, and the fastest one alone: how work is shared does not depend on the set. */
const variants = [...isas.map((isa) => ({ isa, threads: 2 })), ...isas.slice(0, 1).map((isa) => ({ isa, threads: 1 }))];

describe.runIf(hasAddon)(`op cases on ${variants.map(({ isa, threads }) => `${isa} with ${threads}`).join(", ")} threads`, () => {
  const backends = variants.map(({ isa, threads }) => createCpuBackend({ isa: isa as CpuIsa, threads }));
  const passedOps = backends.map(() => new Set<string>());
  afterAll(async () => {
    for (const backend of backends) {
      await backend[Symbol.asyncDispose]();
      expect(backend.statistics().allocatedBytes).toBe(0);
    }
  });

  it.each(opCases.map((opCase) => [opCase.name, opCase] as const))("%s", async (_name, opCase) => {
    // What is expected takes longer to work out than the kernels take.
    const plan = opCase.plan();
    for (const [index, backend] of backends.entries()) {
      const { status, detail } = await runOpCase({ ...opCase, plan: () => plan }, backend);
      expect(status, `${backend.device.name}: ${detail}`).not.toBe("failed");
      if (status === "passed") passedOps[index]!.add(opCase.op);
    }
  });

  it("left no op without a case that ran", () => {
    const kernels = opNames.filter((op) => op !== "signal" && op !== "wait").toSorted();
    for (const passed of passedOps) expect([...passed].toSorted()).toEqual(kernels);
  });
});
