import { dtypes, type Encoder, samplingColumns, type Tensor } from "@thermocline/spec";
import { afterAll, describe, expect, it } from "vitest";
import { type OpCase, opCases, type PlainArray, type PlainArrays, runOpCase } from "../src/op-cases/index.js";
import { createReferenceBackend } from "../src/reference/index.js";

const backend = createReferenceBackend();
afterAll(() => backend[Symbol.asyncDispose]());

type Method = Exclude<OpCase["op"], "signal" | "wait">;

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

/** The same case with another content of one array, and the figures of the right one: what a backend that changes it so would compute. */
function onOtherData<A extends PlainArray>(opCase: OpCase, name: string, change: (array: A) => PlainArray): OpCase {
  const changed = (arrays: PlainArrays): PlainArrays => (name in arrays ? { ...arrays, [name]: change(arrays[name] as A) } : arrays);
  return {
    ...opCase,
    plan() {
      const plan = opCase.plan();
      const steps = plan.steps.map((step) => (step.write === undefined ? step : { ...step, write: changed(step.write) }));
      return { ...plan, arrays: changed(plan.arrays), steps };
    },
  };
}

const shifted = (tensor: Tensor, numElements: number): Tensor => ({ ...tensor, byteOffset: tensor.byteOffset + 4 * numElements });

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
    const wrong = casesOf("matmul", "integers, bias").map((opCase) =>
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
    const scaled = casesOf("attention", "f16, 4 heads over 2, 64 and 64, blocks of 16, window 7,").map((opCase) =>
      recordedOtherwise<"attention">(opCase, (out, q, args) => [out, q, { ...args, scale: args.scale * 1.001 }]),
    );
    const widened = casesOf("attention", "f16, 4 heads over 2, 64 and 64, blocks of 16, window").map((opCase) =>
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

  it("an embedding scale and a rope magnitude that are off by a thousandth, or left out", async () => {
    const scaled = casesOf("embed", "scaled").flatMap((opCase) => [
      recordedOtherwise<"embed">(opCase, (out, table, ids, scale) => [out, table, ids, scale! * 1.001]),
      recordedOtherwise<"embed">(opCase, (out, table, ids) => [out, table, ids]),
    ]);
    const stretched = casesOf("rope", "magnitude").map((opCase) =>
      recordedOtherwise<"rope">(opCase, (q, k, positions, args) => [q, k, positions, { ...args, magnitude: args.magnitude! * 1.001 }]),
    );
    expect(new Set(await statuses([...scaled, ...stretched]))).toEqual(new Set(["failed"]));
  });

  it("a single bit of a block's quants, for every type with blocks", async () => {
    const wrong = casesOf("matmul", "integers")
      .filter(({ dtype, name }) => dtypes[dtype].blockSize > 1 && name.includes("[5, "))
      .map(
        (opCase): OpCase => ({
          ...opCase,
          plan() {
            const plan = opCase.plan();
            const weight = plan.weights!.weight!;
            const bytes = weight.bytes.slice();
            bytes[dtypes[weight.dtype].blockBytes >> 1]! ^= 1;
            return { ...plan, weights: { weight: { ...weight, bytes } } };
          },
        }),
      );
    expect(wrong.length).toBeGreaterThan(20);
    for (const opCase of wrong) expect((await runOpCase(opCase, backend)).status, opCase.name).toBe("failed");
  });

  it("a missing score cap, and queries that see too much or too little", async () => {
    const uncapped = casesOf("attention", "softcap 2").map((opCase) =>
      recordedOtherwise<"attention">(opCase, (out, q, { softcap: _, ...args }) => [out, q, args]),
    );
    const turned = casesOf("attention", "not causal").map((opCase) =>
      recordedOtherwise<"attention">(opCase, (out, q, args) => [out, q, { ...args, causal: true }]),
    );
    const seeing = casesOf("attention", "q8_0, 4 heads").map((opCase) =>
      recordedOtherwise<"attention">(opCase, (out, q, args) => [out, q, { ...args, causal: false }]),
    );
    expect(new Set(await statuses([...uncapped, ...turned, ...seeing]))).toEqual(new Set(["failed"]));
  });

  it("ties that a quantised cache rounds away from zero, and keys that lie among the values", async () => {
    const away = (value: number) => (Math.abs(value) % 1 === 0.5 && Math.abs(value) < 127 ? value * (1 + 2 ** -20) : value);
    const rounded = casesOf("storeKv", "3 heads of 64 and 96")
      .filter(({ dtype }) => dtype === "q8_0" || dtype === "q4_0")
      .map((opCase) => onOtherData<Float32Array>(opCase, "fused", (fused) => fused.map(away)));
    const swapped = casesOf("storeKv", "2 heads of 64 and 64").map((opCase) =>
      recordedOtherwise<"storeKv">(opCase, (k, v, ...rest) => [v, k, ...rest]),
    );
    expect(new Set(await statuses([...rounded, ...swapped]))).toEqual(new Set(["failed"]));
  });

  it("expert weights that are not normalised, slots of another expert, weights of another token and other sequences", async () => {
    const routed = casesOf("routeExperts", "2 of 8, normalised").map((opCase) =>
      recordedOtherwise<"routeExperts">(opCase, (ids, weights, logits) => [ids, weights, logits, { normalize: false }]),
    );
    const misplaced = casesOf("expertMatmul", "f32 [T, 2, 19]").map((opCase) =>
      recordedOtherwise<"expertMatmul">(opCase, (out, x, weight, options) => [
        out,
        x,
        weight,
        { ...options, expertSlots: shifted(options.expertSlots, 1) },
      ]),
    );
    const shared = casesOf("expertMatmul", "q8_0 [T, 3, 33]").map((opCase) =>
      recordedOtherwise<"expertMatmul">(opCase, (out, x, weight, options) => [
        out,
        { ...x, shape: [x.shape[0]!, x.shape[2]!] },
        weight,
        options,
      ]),
    );
    const combined = casesOf("combineExperts", "[T, 3, 64]").map((opCase) =>
      recordedOtherwise<"combineExperts">(opCase, (out, x, weights) => [out, x, shifted(weights, 3)]),
    );
    const pooled = casesOf("meanPool", "[S, 33]").map((opCase) =>
      recordedOtherwise<"meanPool">(opCase, (out, x, starts) => [out, x, shifted(starts, 1)]),
    );
    expect(new Set(await statuses([...routed, ...misplaced, ...shared, ...combined, ...pooled]))).toEqual(new Set(["failed"]));
  });

  const neutral = { temperature: 1, topK: 0, typicalP: 1, topP: 1, minP: 0, topNSigma: 0, xtcProbability: 0, mirostatTau: 0 };
  const altered = { ...neutral, xtcThreshold: 0.3, mirostatEta: 0.2 };
  it.each(Object.entries(altered))("a sampler that takes every %s for %s", async (name, value) => {
    const column = samplingColumns.indexOf(name as keyof typeof altered);
    const wrong = casesOf("sample", "[R, 1000]").map((opCase) =>
      onOtherData<Float32Array>(opCase, "params", (params) =>
        params.map((known, index) => (index % samplingColumns.length === column ? value : known)),
      ),
    );
    expect(new Set(await statuses(wrong))).toEqual(new Set(["failed"]));
  });

  it("logit edits that are not made, and surprise limits of other rows", async () => {
    const unedited = casesOf("sample", "[R, 50]").map((opCase) => onOtherData(opCase, "editIds", (editIds) => editIds.slice().fill(-1)));
    const others = casesOf("sample", "mirostat over").map((opCase) =>
      onOtherData(opCase, "surpriseLimits", (surpriseLimits) => surpriseLimits.slice().reverse()),
    );
    expect(new Set(await statuses([...unedited, ...others]))).toEqual(new Set(["failed"]));
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
