import type { Encoder } from "@thermocline/spec";
import { afterAll, describe, expect, it } from "vitest";
import { type OpCase, opCases, runOpCase } from "../src/op-cases/index.js";
import { createReferenceBackend } from "../src/reference/index.js";

const backend = createReferenceBackend();
afterAll(() => backend[Symbol.asyncDispose]());

type Method = "rmsNorm" | "layerNorm" | "matmul" | "rope" | "attention" | "activate" | "softcap" | "sample" | "fill";

/** The same case, recorded with other arguments: what a backend with that mistake would compute. */
function recordedOtherwise<M extends Method>(opCase: OpCase, change: (...args: Parameters<Encoder[M]>) => Parameters<Encoder[M]>): OpCase {
  return {
    ...opCase,
    plan() {
      const plan = opCase.plan();
      return {
        ...plan,
        record(encoder, tensors) {
          const method = opCase.op as M;
          const record = encoder[method] as (...args: Parameters<Encoder[M]>) => void;
          plan.record(
            { [method]: (...args: Parameters<Encoder[M]>) => record.apply(encoder, change(...args)) } as unknown as Encoder,
            tensors,
          );
        },
      };
    },
  };
}

function casesOf(op: OpCase["op"], title = ""): OpCase[] {
  const found = opCases.filter((opCase) => opCase.op === op && opCase.name.includes(title) && !opCase.name.includes("batch-invariant"));
  expect(found.length).toBeGreaterThan(0);
  return found;
}

async function statuses(cases: readonly OpCase[]): Promise<string[]> {
  const results = [];
  for (const opCase of cases) results.push((await runOpCase(opCase, backend)).status);
  return results;
}

const failed = expect.arrayContaining(["failed"]);

describe("the op cases notice", () => {
  it("an epsilon that is off by a tenth", async () => {
    const wrong = casesOf("rmsNorm", "eps large").map((opCase) =>
      recordedOtherwise<"rmsNorm">(opCase, (out, x, weight, eps) => [out, x, weight, eps * 1.1]),
    );
    expect(await statuses(wrong)).toEqual(failed);
  });

  it("a bias that is left out", async () => {
    const wrong = casesOf("matmul", "bias").map((opCase) =>
      recordedOtherwise<"matmul">(opCase, (out, x, weight, options) => [out, x, weight, { ...options, bias: undefined } as object]),
    );
    expect(new Set(await statuses(wrong))).toEqual(new Set(["failed"]));
  });

  it("the other rope mode, and a base that is off by a thousandth", async () => {
    const swapped = casesOf("rope", "heads of 64").map((opCase) =>
      recordedOtherwise<"rope">(opCase, (q, k, positions, args) => [
        q,
        k,
        positions,
        { ...args, mode: args.mode === "neox" ? "normal" : "neox" },
      ]),
    );
    const shifted = casesOf("rope", "heads of 64").map((opCase) =>
      recordedOtherwise<"rope">(opCase, (q, k, positions, args) => [q, k, positions, { ...args, theta: args.theta * 1.001 }]),
    );
    expect(new Set(await statuses([...swapped, ...shifted]))).toEqual(new Set(["failed"]));
  });

  it("an attention scale that is off by a thousandth, and a window that is off by one", async () => {
    const scaled = casesOf("attention", "f32, 4 heads over 2, 64 and 64, blocks of 16, window 7").map((opCase) =>
      recordedOtherwise<"attention">(opCase, (out, q, args) => [out, q, { ...args, scale: args.scale * 1.001 }]),
    );
    const widened = casesOf("attention", "f32, 4 heads over 2, 64 and 64, blocks of 16, window").map((opCase) =>
      recordedOtherwise<"attention">(opCase, (out, q, args) => [out, q, { ...args, slidingWindow: args.slidingWindow! + 1 }]),
    );
    const outcomes = await statuses([...scaled, ...widened]);
    // A window of 100 reaches over every context here: one more changes nothing.
    expect(outcomes).toEqual(["failed", "failed", "failed", "failed", "passed"]);
  });

  it("another activation, and a cap that is off by a thousandth", async () => {
    const others = casesOf("activate", "gelu").map((opCase) =>
      recordedOtherwise<"activate">(opCase, (out, gate, up) => [out, gate, up, "silu"]),
    );
    const capped = casesOf("softcap").map((opCase) => recordedOtherwise<"softcap">(opCase, (out, x, cap) => [out, x, cap * 1.001]));
    expect(new Set(await statuses([...others, ...capped]))).toEqual(new Set(["failed"]));
  });

  it("a random state that is another row's", async () => {
    const wrong = casesOf("sample", "[R, 1000]").map((opCase) =>
      recordedOtherwise<"sample">(opCase, (tokenIds, logits, args) => [
        tokenIds,
        logits,
        { ...args, randomState: { ...args.randomState, shape: args.randomState.shape, rowStride: 1 } },
      ]),
    );
    expect(await statuses(wrong)).toEqual(failed);
  });

  it("writes to an input, and behind an output", async () => {
    const [add] = casesOf("add", "[T, 7]");
    const dirty = (record: OpCase["plan"] extends () => infer P ? (plan: P) => P : never): OpCase => ({
      ...add!,
      plan: () => record(add!.plan()),
    });
    const intoInput = dirty((plan) => ({
      ...plan,
      record(encoder, tensors) {
        plan.record(encoder, tensors);
        encoder.fill(tensors.a!, 0);
      },
    }));
    const behindOutput = dirty((plan) => ({
      ...plan,
      record(encoder, tensors) {
        plan.record(encoder, tensors);
        encoder.fill(
          { ...tensors.out!, shape: [tensors.out!.shape[1]! as number], byteOffset: tensors.out!.byteOffset + 33 * 7 * 4, dtype: "f32" },
          0,
        );
      },
    }));
    expect(await runOpCase(intoInput, backend)).toMatchObject({ status: "failed", detail: expect.stringContaining("input a") });
    expect(await runOpCase(behindOutput, backend)).toMatchObject({
      status: "failed",
      detail: expect.stringContaining("memory behind out"),
    });
  });
});

describe("runOpCase", () => {
  it("reports an op that the traits deny as unsupported, once recording has refused it", async () => {
    const [matmul] = casesOf("matmul", "f32 [T, 1]");
    const plan = () => {
      const data = matmul!.plan();
      return { ...data, weights: { weight: { ...data.weights!.weight!, dtype: "i32" as const } } };
    };
    expect(await runOpCase({ ...matmul!, dtype: "i32", plan }, backend)).toEqual({ status: "unsupported", detail: "matmul with i32" });
  });

  it("fails where the oracle fails", async () => {
    await using oracle = createReferenceBackend({ id: "reference:9" });
    const [fill] = casesOf("fill", "[T, 7]");
    expect((await runOpCase(fill!, backend, { oracle })).status).toBe("passed");
    const wrong = recordedOtherwise<"fill">(fill!, (out, value) => [out, value + 1]);
    const result = await runOpCase(wrong, backend, { oracle });
    expect(result).toMatchObject({ status: "failed", detail: expect.stringContaining("the oracle: failed") });
  });
});
