/** The units of estimated demands: which there are, what they and parts of them take, and what lies beside them. */
import { referenceTraits } from "@thermocline/cpu-kernels/reference";
import { createCpuTraits } from "@thermocline/cpu-kernels/traits";
import {
  type DType,
  type IndexRange,
  InvalidPlanError,
  InvalidRequestError,
  type OffloadUnit,
  type OpName,
  type Placement,
} from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createDemandModel } from "../../src/demand/demand-model.js";
import { createEstimatedDemandModel } from "../../src/demand/estimated-demand-model.js";
import { gatedFeedForward, groupedQuery, openHeader, type Shapes, smallHeader, smallHeads } from "./shape-files.js";

const cpu = { id: "cpu:0", traits: createCpuTraits({ threads: 1 }) };
const { hiddenSize } = smallHeads;

async function demandOf(options: Parameters<typeof openHeader>[0], settings = { contextLength: 1024, maxBatchTokens: 64 }) {
  await using source = await openHeader(options);
  return createEstimatedDemandModel(source).demandOf([cpu], settings);
}

const mixture = (layer: number): Shapes => ({
  ...groupedQuery(smallHeads),
  ...(layer === 0
    ? gatedFeedForward(hiddenSize, 1024)
    : {
        ffn_norm: [hiddenSize],
        ffn_gate_inp: [8, hiddenSize],
        exp_probs_b: [8],
        ffn_gate_exps: [8, 512, hiddenSize],
        ffn_up_exps: [8, 512, hiddenSize],
        ffn_down_exps: [8, hiddenSize, 512],
        ffn_gate_shexp: [512, hiddenSize],
        ffn_up_shexp: [512, hiddenSize],
        ffn_down_shexp: [hiddenSize, 512],
        ffn_gate_inp_shexp: [hiddenSize],
      }),
});
const mixtureHeader = smallHeader("glm4moe", { expert_count: 8, expert_used_count: 2, nextn_predict_layers: 1 }, 4, mixture, false);

describe("the units of a mixture with shared experts", () => {
  it("are those of graphs, shared experts apart, without the layers that predict further tokens", async () => {
    const { units, estimates, model } = await demandOf(mixtureHeader);
    expect(units.map(({ id }) => id)).toEqual([
      "embedding",
      "blk.0.attention",
      "blk.0.feed-forward",
      ...[1, 2].flatMap((layer) => ["attention", "router", "experts", "shared-experts"].map((kind) => `blk.${layer}.${kind}`)),
      "head",
    ]);
    expect(model.numLayers).toBe(3);
    expect(estimates.join(" ")).toMatch(/predict further tokens, 1 of the file's 4, are not counted/);
    const unit = (id: string) => units.find((candidate) => candidate.id === id)!;
    expect(unit("blk.1.experts")).toMatchObject({ rows: { count: 8, blockSize: 1 }, activationFrequency: 0.25, kind: "experts", layer: 1 });
    expect(unit("blk.1.shared-experts").tensors).toEqual(
      ["ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp", "ffn_gate_inp_shexp"].map((name) => `blk.1.${name}.weight`),
    );
    expect(unit("blk.1.router").tensors).toEqual(["ffn_norm", "ffn_gate_inp", "exp_probs_b"].map((name) => `blk.1.${name}.weight`));
    // q8_0: 34 bytes for 32 of each expert's 3 · 512 · 256 weights, read as its experts are chosen
    expect(unit("blk.1.experts").weights).toEqual([{ dtype: "q8_0", alwaysBytes: 0, conditionalBytes: (8 * 3 * 512 * 256 * 34) / 32 }]);
    expect(unit("blk.1.shared-experts").weights).toContainEqual({
      dtype: "q8_0",
      alwaysBytes: (3 * 512 * 256 * 34) / 32,
      conditionalBytes: 0,
    });
    expect(unit("blk.0.feed-forward").rows).toEqual({ count: 1024, blockSize: 32 });
  });

  it("hold every tensor of the layers that run once", async () => {
    await using source = await openHeader(mixtureHeader);
    const { units } = createEstimatedDemandModel(source).demandOf([cpu], {});
    const named = units.flatMap(({ tensors }) => tensors);
    const expected = [...source.tensors.keys()].filter((name) => !name.startsWith("blk.3."));
    expect([...named].sort()).toEqual(expected.sort());
  });
});

describe("units of files that were laid out otherwise", () => {
  it("hold experts that have a tensor each as one, which cannot be split (the first Mixtral files)", async () => {
    const experts = Object.fromEntries(
      Array.from({ length: 8 }, (_, expert) => [
        [`ffn_gate.${expert}`, [512, hiddenSize]],
        [`ffn_up.${expert}`, [512, hiddenSize]],
        [`ffn_down.${expert}`, [hiddenSize, 512]],
      ]).flat(),
    ) as Shapes;
    const layer = { ...groupedQuery(smallHeads), ffn_norm: [hiddenSize], ffn_gate_inp: [8, hiddenSize], ...experts };
    const { units } = await demandOf(smallHeader("llama", { expert_count: 8, expert_used_count: 2 }, 1, () => layer));
    const unit = units.find(({ kind }) => kind === "experts")!;
    expect(unit.rows).toBeUndefined();
    expect(unit.tensors).toHaveLength(24);
    expect(unit).toMatchObject({
      activationFrequency: 0.25,
      weights: [{ dtype: "q8_0", alwaysBytes: 0, conditionalBytes: (8 * 3 * 512 * 256 * 34) / 32 }],
    });
    expect(units.find(({ kind }) => kind === "router")!.tensors).toEqual(["blk.0.ffn_norm.weight", "blk.0.ffn_gate_inp.weight"]);
  });

  it("hold neurons one by one where down is transposed, and predictors apart (PowerInfer)", async () => {
    const { ffn_down: _none, ...feedForward } = gatedFeedForward(hiddenSize, 1024);
    const layer = { ...groupedQuery(smallHeads), ...feedForward, ffn_down_t: [1024, hiddenSize], fc1: [64, hiddenSize], fc2: [1024, 64] };
    const { units, devices } = await demandOf(smallHeader("llama", {}, 1, () => layer));
    expect(units.map(({ kind }) => kind)).toEqual(["embedding", "attention", "predictor", "feed-forward", "head"]);
    const neurons = units.find(({ kind }) => kind === "feed-forward")!;
    expect(neurons.rows).toEqual({ count: 1024, blockSize: 1 });
    // Of 16 neurons, which the CPU's layout groups: a row of 256 in q8_0 of each of 3 matrices; the norm is whole.
    const { part } = devices["cpu:0"]!.units[neurons.id]!;
    expect(part!.bytesPerBlock).toBe((3 * 256 * 34) / 32);
    expect(part!.fixedBytes).toBe(1024 + (15 * 3 * 256 * 34) / 32);
  });
});

describe("parts of a unit", () => {
  const ranges = ({ rows }: OffloadUnit, numBlocks: number, gap: number): readonly IndexRange[] => {
    const { count, blockSize } = rows!;
    const first = gap * blockSize;
    const length = Math.min(numBlocks * blockSize, count - first);
    return [[first, length]];
  };

  it.each([
    ["CPU", cpu.traits],
    ["reference", referenceTraits],
  ])("take at most what their blocks say on the %s backend, and together at least what the whole takes", async (_, traits) => {
    const odd = smallHeader("unknown", {}, 1, () => ({ ...groupedQuery(smallHeads), ...gatedFeedForward(hiddenSize, 1000) }));
    for (const options of [mixtureHeader, odd]) {
      await using source = await openHeader(options);
      const devices = [
        { id: "a:0", traits },
        { id: "b:0", traits },
      ];
      const model = createEstimatedDemandModel(source);
      const demand = model.demandOf(devices, { contextLength: 64 });
      for (const unit of demand.units.filter(({ rows }) => rows !== undefined)) {
        const { part, weightBytes } = demand.devices["a:0"]!.units[unit.id]!;
        const numBlocks = unit.rows!.count / unit.rows!.blockSize;
        for (const blocks of [1, 2, 3, Math.floor(numBlocks / 2), numBlocks - 1]) {
          const first = ranges(unit, blocks, 0);
          const second = ranges(unit, numBlocks - blocks, blocks);
          const placement: Placement = new Map(
            demand.units.map(({ id }) => [
              id,
              id === unit.id
                ? [
                    { device: "a:0", rows: first },
                    { device: "b:0", rows: second },
                  ]
                : [{ device: "a:0" }],
            ]),
          );
          const placed = model.bytesOf(devices, { contextLength: 64 }, placement).filter(({ label }) => label === unit.id);
          const [a, b] = ["a:0", "b:0"].map((device) => placed.find((entry) => entry.device === device)!.byteLength);
          expect(a, `${unit.id} ${blocks}`).toBeLessThanOrEqual(part!.fixedBytes + blocks * part!.bytesPerBlock);
          expect(b, `${unit.id} ${blocks}`).toBeLessThanOrEqual(part!.fixedBytes + (numBlocks - blocks) * part!.bytesPerBlock);
          expect(a! + b!, `${unit.id} ${blocks}`).toBeGreaterThanOrEqual(weightBytes);
        }
      }
    }
  });

  it("and everything else of a placement take no more than the demand says", async () => {
    await using source = await openHeader(mixtureHeader);
    const devices = [cpu, { id: "cpu:1", traits: { ...cpu.traits, readsHostMemory: false }, contextBytes: 1000 }];
    const model = createEstimatedDemandModel(source);
    const settings = { contextLength: 512, maxSequences: 2 };
    const demand = model.demandOf(devices, settings);
    const placement: Placement = new Map(
      demand.units.map(({ id, layer, rows }) => [
        id,
        rows === undefined
          ? [{ device: layer === 1 ? "cpu:1" : "cpu:0" }]
          : [
              { device: "cpu:0", rows: [[0, rows.blockSize]] },
              { device: "cpu:1", rows: [[rows.blockSize, rows.count - rows.blockSize]] },
            ],
      ]),
    );
    const placed = model.bytesOf(devices, settings, placement);
    for (const { id } of devices) {
      const of = (memoryClass: string) =>
        placed.filter((entry) => entry.device === id && entry.class === memoryClass).reduce((sum, { byteLength }) => sum + byteLength, 0);
      const { overheadBytes } = demand.devices[id]!;
      for (const memoryClass of ["activations", "graphs", "staging", "transfer", "context"] as const)
        expect(of(memoryClass), `${id} ${memoryClass}`).toBeLessThanOrEqual(overheadBytes[memoryClass] ?? 0);
    }
    expect(placed.filter(({ class: memoryClass }) => memoryClass === "context")).toEqual([
      { device: "cpu:1", class: "context", label: "device runtime", byteLength: 1000 },
    ]);
  });
});

describe("the demand of a file", () => {
  it("is exact where a graph computes its architecture, and says why it is not elsewhere", async () => {
    for (const [architecture, isExact] of [
      ["llama", true],
      ["deepseek2", false],
    ] as const) {
      const options = smallHeader(
        architecture,
        { feed_forward_length: 1024, "attention.layer_norm_rms_epsilon": { type: "f32", value: 1e-5 } },
        1,
        () => ({ ...groupedQuery(smallHeads), ...gatedFeedForward(hiddenSize, 1024) }),
      );
      await using source = await openHeader(options);
      const model = createDemandModel(source);
      const { estimates, units } = model.demandOf([cpu], {});
      expect(estimates.length === 0).toBe(isExact);
      const placement: Placement = new Map(units.map(({ id }) => [id, [{ device: "cpu:0" }]]));
      expect(model.intermediatesOf([cpu], {}, placement).length > 0).toBe(isExact);
    }
  });

  it("is refused for no device, or two of one name", async () => {
    await using source = await openHeader(mixtureHeader);
    const model = createEstimatedDemandModel(source);
    expect(() => model.demandOf([], {})).toThrow(InvalidRequestError);
    expect(() => model.demandOf([cpu, cpu], {})).toThrow(/cpu:0 twice/);
  });

  it("leaves out units that a device has no kernel for, and refuses placements that are none", async () => {
    await using source = await openHeader(mixtureHeader);
    const model = createEstimatedDemandModel(source);
    const limited = { ...cpu.traits, supports: (op: OpName, dtype: DType) => op !== "expertMatmul" && cpu.traits.supports(op, dtype) };
    const { units } = model.demandOf([{ id: "cpu:0", traits: limited }], {}).devices["cpu:0"]!;
    expect(Object.keys(units)).not.toContain("blk.1.experts");
    expect(Object.keys(units)).toContain("blk.1.shared-experts");
    expect(() => model.bytesOf([cpu], {}, new Map())).toThrow(InvalidPlanError);
  });
});

describe("a model that makes vectors of texts", () => {
  it("keeps no keys, reads whole texts in a step, and has no head of its own", async () => {
    const options = smallHeader(
      "nomic-bert",
      { context_length: 2048, "attention.causal": false, pooling_type: 1, "attention.sliding_window": 64 },
      2,
      () => ({
        attn_qkv: [(4 + 2 * 2) * 64, hiddenSize],
        attn_output: [hiddenSize, 256],
        ...gatedFeedForward(hiddenSize, 1024),
      }),
    );
    await using source = await openHeader(options);
    const { settings, units, devices } = createEstimatedDemandModel(source).demandOf([cpu], {});
    expect(settings).toMatchObject({ contextLength: 2048, maxBatchTokens: 2048 });
    expect(units.every(({ kvCache }) => kvCache === undefined)).toBe(true);
    expect(units.at(-1)!.tensors).toEqual(["output_norm.weight"]);
    // At the least keys and values of a whole text, and the neurons of one of gate and up.
    expect(devices["cpu:0"]!.overheadBytes.activations).toBeGreaterThan(2048 * 4 * (2 * 2 * 64 + 1024));
  });
});

describe("a tied head", () => {
  it("takes the embedding's table once where both lie on one device", async () => {
    await using source = await openHeader(
      smallHeader("unknown", {}, 1, () => ({ ...groupedQuery(smallHeads), ...gatedFeedForward(hiddenSize, 1024) })),
    );
    const model = createEstimatedDemandModel(source);
    const devices = [cpu, { id: "cpu:1", traits: cpu.traits }];
    const { units, devices: demands } = model.demandOf(devices, {});
    // 512 rows of 256 in q8_0, and the norm
    const table = (512 * 256 * 34) / 32;
    expect(demands["cpu:0"]!.units.head).toMatchObject({ weightBytes: table + 1024, shared: { unit: "embedding", byteLength: table } });
    const headBytes = (headDevice: string) =>
      model
        .bytesOf(devices, {}, new Map(units.map(({ id }) => [id, [{ device: id === "head" ? headDevice : "cpu:0" }]])))
        .find(({ label }) => label === "head")!.byteLength;
    expect(headBytes("cpu:0")).toBe(1024);
    expect(headBytes("cpu:1")).toBe(table + 1024);
  });
});
