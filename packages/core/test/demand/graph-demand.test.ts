/** What the demand of a model with a graph says of units, devices and intermediates. */
import { createReferenceBackend } from "@thermocline/cpu-kernels/reference";
import { createCpuTraits } from "@thermocline/cpu-kernels/traits";
import {
  type BackendTraits,
  type DemandDevice,
  InvalidPlanError,
  InvalidRequestError,
  InvalidTensorError,
  type Placement,
} from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createDemandModel } from "../../src/demand/index.js";
import { openEmbeddedModel } from "../support/embedded-model.js";
import { openRandomModel, randomModelNames } from "../support/random-model.js";
import { splitDevices, splitPlacement } from "../support/split-placement.js";

const traits = createCpuTraits({ threads: 2 });
const cpu: DemandDevice = { id: "cpu:0", traits };
const [home, other] = splitDevices;
const pair: readonly DemandDevice[] = [
  { id: home, traits },
  { id: other, traits: createReferenceBackend().traits },
];
const settings = { contextLength: 128, maxBatchTokens: 24 };
const wholeOn = (units: readonly { readonly id: string }[], device: string): Placement =>
  new Map(units.map(({ id }) => [id, [{ device }]]));

describe("units", () => {
  it.each(randomModelNames)("of %s, whole on one device, take what the demand says to the byte", async (name) => {
    await using source = await openRandomModel(name);
    const model = createDemandModel(source);
    const { units, devices } = model.demandOf([cpu], settings);
    const placed = model.bytesOf([cpu], settings, wholeOn(units, cpu.id));
    for (const unit of units) {
      const { weightBytes, kvCacheBytes, shared } = devices[cpu.id]!.units[unit.id]!;
      const bytesOf = (label: string) => placed.find((entry) => entry.label === label)?.byteLength ?? 0;
      expect(bytesOf(unit.id)).toBe(weightBytes - (shared?.byteLength ?? 0));
      expect(kvCacheBytes).toBe(unit.kind === "attention" ? bytesOf(`layer ${unit.layer}`) : 0);
    }
  });

  it("run as many commands as the graph records for them", async () => {
    await using source = await openEmbeddedModel();
    const model = createDemandModel(source);
    const { units } = model.demandOf([cpu], settings);
    const commandsOf = (kind: string) => new Set(units.filter((unit) => unit.kind === kind).map(({ numCommands }) => numCommands));
    // norm, q, k, v, rope, store, attention, output, sum
    expect(commandsOf("attention")).toEqual(new Set([9]));
    // norm, gate, up, activation, down, sum
    expect(commandsOf("feed-forward")).toEqual(new Set([6]));
    // rows, norm, projection, sampling
    expect(commandsOf("head")).toEqual(new Set([4]));
    await using gemma = await openRandomModel("gemma3");
    const kinds = createDemandModel(gemma).demandOf([cpu], settings).units;
    // Heads are normed twice, and each half's output once.
    expect(kinds.find(({ kind }) => kind === "attention")?.numCommands).toBe(12);
    expect(kinds.find(({ kind }) => kind === "feed-forward")?.numCommands).toBe(7);
  });

  it("share a table that embedding and head read", async () => {
    await using source = await openEmbeddedModel();
    const { devices } = createDemandModel(source).demandOf([cpu], settings);
    const { embedding, head } = devices[cpu.id]!.units;
    expect(head!.shared).toEqual({ unit: "embedding", byteLength: embedding!.weightBytes });
  });

  it("that a device has no kernel for are left out there, and there alone", async () => {
    await using source = await openRandomModel("mixtral", { dtype: "q8_0" });
    const withoutExperts: BackendTraits = {
      ...traits,
      supports: (op, dtype) => op !== "expertMatmul" && traits.supports(op, dtype),
      packedByteLength(info, slices) {
        if (info.shape.length === 3) throw new InvalidTensorError(info.name, "a type that has a layout here", info.dtype);
        return traits.packedByteLength(info, slices);
      },
    };
    const devices = [cpu, { id: "gpu:0", traits: withoutExperts }];
    const { devices: demands, units } = createDemandModel(source).demandOf(devices, settings);
    const experts = units.filter(({ kind }) => kind === "experts").map(({ id }) => id);
    expect(Object.keys(demands["cpu:0"]!.units)).toEqual(units.map(({ id }) => id));
    expect(Object.keys(demands["gpu:0"]!.units)).toEqual(units.map(({ id }) => id).filter((id) => !experts.includes(id)));
  });

  it("that are split are bounded to within the padding of a part", async () => {
    await using source = await openEmbeddedModel();
    const model = createDemandModel(source);
    const { units, devices } = model.demandOf(pair, settings);
    const { rows, id } = units.find(({ kind }) => kind === "feed-forward")!;
    const { fixedBytes, bytesPerBlock } = devices[home]!.units[id]!.part!;
    for (const blocks of [1, 2, 5, rows!.count / rows!.blockSize - 1]) {
      const cut = blocks * rows!.blockSize;
      const placement = new Map(wholeOn(units, home));
      placement.set(id, [
        { device: home, rows: [[0, cut]] },
        { device: other, rows: [[cut, rows!.count - cut]] },
      ]);
      const placed = model.bytesOf(pair, settings, placement).find((entry) => entry.device === home && entry.label === id)!;
      const slack = fixedBytes + blocks * bytesPerBlock - placed.byteLength;
      expect(slack).toBeGreaterThanOrEqual(0);
      // Three tensors, each padded to the alignment.
      expect(slack).toBeLessThanOrEqual(3 * traits.alignment);
    }
  });
});

describe("settings", () => {
  it("are resolved as an engine does, and stay as they are when resolved again", async () => {
    await using source = await openEmbeddedModel();
    const model = createDemandModel(source);
    const { settings: resolved } = model.demandOf([cpu], {});
    expect(resolved).toEqual({ contextLength: 256, maxBatchTokens: 256, maxSequences: 1, kvCacheTokens: 256 });
    expect(model.demandOf([cpu], resolved).settings).toEqual(resolved);
    expect(model.demandOf([cpu], resolved)).toEqual(model.demandOf([cpu], {}));
  });

  it.each([
    ["contextLength", { contextLength: 257 }],
    ["contextLength", { contextLength: 0 }],
    ["maxSequences", { maxSequences: 1.5 }],
    ["kvCacheTokens", { kvCacheTokens: -1 }],
    ["keyCacheDType", { keyCacheDType: "q4_k" }],
  ] as const)("that cannot be are refused: %s", async (parameter, wrong) => {
    await using source = await openEmbeddedModel();
    const model = createDemandModel(source);
    const whole = wholeOn(model.demandOf([cpu], {}).units, cpu.id);
    for (const ask of [() => model.demandOf([cpu], wrong), () => model.bytesOf([cpu], wrong, whole)]) {
      expect(ask).toThrow(InvalidRequestError);
      expect(ask).toThrow(parameter);
    }
  });

  it("and placements name devices that are there, each once", async () => {
    await using source = await openEmbeddedModel();
    const model = createDemandModel(source);
    const { units } = model.demandOf([cpu], settings);
    expect(() => model.demandOf([], settings)).toThrow(InvalidRequestError);
    expect(() => model.demandOf([cpu, cpu], settings)).toThrow(InvalidRequestError);
    expect(() => model.bytesOf([cpu], settings, wholeOn(units, "cpu:1"))).toThrow(InvalidPlanError);
    expect(() => model.bytesOf([cpu], settings, wholeOn(units.slice(1), cpu.id))).toThrow(InvalidPlanError);
  });
});

describe("intermediates", () => {
  it.each(["llama", "mixtral", "gemma2"] as const)("of a split %s lie apart while they live, and fill the arena", async (name) => {
    await using source = await openRandomModel(name);
    const model = createDemandModel(source);
    const placement = splitPlacement(source);
    const all = model.intermediatesOf(pair, settings, placement);
    const placed = model.bytesOf(pair, settings, placement);
    for (const { id } of pair) {
      const activations = all.filter(({ device, region }) => device === id && region === "arena");
      for (const [index, one] of activations.entries()) {
        expect(one.firstUse).toBeLessThanOrEqual(one.lastUse);
        for (const another of activations.slice(index + 1)) {
          const liveTogether = one.firstUse <= another.lastUse && another.firstUse <= one.lastUse;
          const overlap = one.byteOffset < another.byteOffset + another.byteLength && another.byteOffset < one.byteOffset + one.byteLength;
          expect(liveTogether && overlap, `${one.name} and ${another.name}`).toBe(false);
        }
      }
      const end = Math.max(...activations.map(({ byteOffset, byteLength }) => byteOffset + byteLength));
      const arena = placed.find((entry) => entry.device === id && entry.class === "activations")!.byteLength;
      expect(Math.ceil(end / traits.alignment) * traits.alignment).toBe(arena);
    }
    const names = new Set(all.map((one) => one.name));
    expect(names).toContain("blk.1.attention matmul");
    expect(names).toContain(`partial sum from ${other}`);
    expect(names).toContain("step.tokenIds");
  });
});
