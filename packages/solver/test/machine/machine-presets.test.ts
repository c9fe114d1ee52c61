import { InvalidRequestError } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { estimateMachine, hypotheticalMachine, machineFromPreset, machinePresets, parseMachineProfile } from "../../src/index.js";

const gib = 2 ** 30;
const deviceOf = (profile: ReturnType<typeof machineFromPreset>, id: string) => profile.devices.find((device) => device.id === id)!;

describe("machineFromPreset", () => {
  it("puts a GPU and a memory together, with the published bandwidths and the link of the GPU's generation", () => {
    const machine = machineFromPreset("rtx4090+ddr5-6000");
    expect(
      machine.devices.map(({ id, backend, memoryBytes, memoryBytesPerSecond }) => [id, backend, memoryBytes, memoryBytesPerSecond]),
    ).toEqual([
      ["cuda:0", "cuda", 24 * gib, 1008e9],
      ["cpu:0", "cpu", 32 * gib, 96e9],
    ]);
    // 16 GT/s on 16 lanes, 128 of 130 bits, of which copies reach 0.8.
    const raw = (16e9 * 16 * (128 / 130)) / 8;
    for (const link of machine.links) expect(link.bytesPerSecond / (0.8 * raw)).toBeCloseTo(1, 3);
    expect(machine.source).toContain(machinePresets.gpus.rtx4090.source);
    expect(machine.source).toContain(machinePresets.memories["ddr5-6000"].source);
  });

  it("takes several GPUs, a link and a size of memory in any order", () => {
    const machine = machineFromPreset("64GiB + pcie3 + 2xRTX3090 + t4");
    expect(machine.devices.map(({ id, name }) => [id, name])).toEqual([
      ["cuda:0", "GeForce RTX 3090"],
      ["cuda:1", "GeForce RTX 3090"],
      ["cuda:2", "T4"],
      ["cpu:0", expect.stringContaining("DDR4-3200")],
    ]);
    expect(deviceOf(machine, "cpu:0").memoryBytes).toBe(64 * gib);
    expect(machine.links).toHaveLength(12);
    const rateOf = (from: string, to: string) => machine.links.find((link) => link.from === from && link.to === to)!.bytesPerSecond;
    expect(rateOf("cuda:0", "cpu:0")).toBeCloseTo(0.8 * 15.754e9, -3);
    expect(rateOf("cuda:0", "cuda:1")).toBeCloseTo(rateOf("cuda:0", "cpu:0") / 2, -3);
  });

  it("knows cards with half as many lanes", () => {
    const [narrow, wide] = ["rtx4060", "rtx4070"].map((text) => machineFromPreset(text).links[0]!.bytesPerSecond);
    expect(wide! / narrow!).toBeCloseTo(2);
  });

  it("takes sizes apart from the text", () => {
    const machine = machineFromPreset("rtx4090+ddr5-6000", { vramBytes: 8 * gib, ramBytes: 16 * gib });
    expect(machine.devices.map(({ memoryBytes }) => memoryBytes)).toEqual([8 * gib, 16 * gib]);
  });

  it("knows machines without a GPU", () => {
    const machine = machineFromPreset("ddr5-4800x12");
    expect(machine.devices.map(({ id }) => id)).toEqual(["cpu:0"]);
    expect(machine.devices[0]!.memoryBytesPerSecond).toBe(12 * 8 * 4800e6);
    expect(machine.links).toEqual([]);
  });

  it("never reckons a rate above its roof", () => {
    for (const name of [...Object.keys(machinePresets.gpus), ...Object.keys(machinePresets.memories)]) {
      for (const { rates, memoryBytesPerSecond } of machineFromPreset(name).devices) {
        for (const rate of [...Object.values(rates.weightBytesPerSecond), rates.kvBytesPerSecond]) {
          expect(rate).toBeGreaterThan(0.1 * memoryBytesPerSecond);
          expect(rate).toBeLessThan(memoryBytesPerSecond);
        }
      }
    }
  });

  it("writes profiles that are read back as they are", () => {
    for (const text of ["h200+ddr5-4800x8", "2xrtx3090", "ddr4-2400"]) {
      const machine = machineFromPreset(text);
      expect(parseMachineProfile(JSON.stringify(machine))).toEqual(machine);
    }
  });

  it.each(["rtx4091+ddr5-6000", "", "rtx4090+", "constructor", "0xrtx3090", "ddr5-6000x3"])("lists what it knows for %j", (text) => {
    const call = () => machineFromPreset(text);
    expect(call).toThrow(InvalidRequestError);
    expect(call).toThrow(/no known part; .*rtx4090.*ddr5-6000.*pcie4/);
  });

  it("refuses a part that is there twice", () => {
    expect(() => machineFromPreset("ddr4-3200+ddr5-6000")).toThrow(/second memory, "ddr5-6000"/);
    expect(() => machineFromPreset("32gib+64gib")).toThrow(/second size of memory/);
    expect(() => machineFromPreset("pcie3+rtx3090+pcie4")).toThrow(/second link/);
  });
});

describe("hypotheticalMachine", () => {
  it("reckons a GPU as the slowest published one with so much memory, and says so", () => {
    const machine = hypotheticalMachine({ vramBytes: 8 * gib, ramBytes: 32 * gib });
    expect(machine.devices.map(({ id, memoryBytes }) => [id, memoryBytes])).toEqual([
      ["cuda:0", 8 * gib],
      ["cpu:0", 32 * gib],
    ]);
    expect(deviceOf(machine, "cuda:0").memoryBytesPerSecond).toBe(272e9);
    expect(machine.assumptions).toContain("cuda:0 is reckoned to be as fast as a GeForce RTX 4060.");
    expect(machine.source).toMatch(/^assumed from sizes alone/);
  });

  it("takes several GPUs, none, and one larger than all that are published", () => {
    expect(hypotheticalMachine({ vramBytes: [8 * gib, 24 * gib], ramBytes: gib }).devices.map(({ id }) => id)).toEqual([
      "cuda:0",
      "cuda:1",
      "cpu:0",
    ]);
    expect(hypotheticalMachine({ vramBytes: 0, ramBytes: gib }).devices.map(({ id }) => id)).toEqual(["cpu:0"]);
    expect(hypotheticalMachine({ vramBytes: 1000 * gib, ramBytes: gib }).devices[0]!.name).toBe("H200 SXM");
  });

  it.each([
    [{ vramBytes: -1, ramBytes: gib }, "vramBytes"],
    [{ vramBytes: gib + 0.5, ramBytes: gib }, "vramBytes"],
    [{ vramBytes: 0, ramBytes: 0 }, "ramBytes"],
    [{ vramBytes: gib, ramBytes: Number.NaN }, "ramBytes"],
  ])("refuses %j", (sizes, parameter) => {
    expect(() => hypotheticalMachine(sizes)).toThrow(expect.objectContaining({ code: "invalid-request", parameter }));
  });
});

describe("estimateMachine", () => {
  const processor = { name: "2 cores", cores: 2, int8OperationsPerSecond: 1e12 };

  it("takes what is known, and published figures for GPUs by the names that drivers give", () => {
    const gpus = [
      { name: "NVIDIA GeForce RTX 4090", memoryBytes: 23.5 * gib },
      { name: "NVIDIA A100-SXM4-80GB", memoryBytes: 79 * gib },
      { name: "NVIDIA A100-PCIE-40GB", memoryBytes: 39 * gib },
      { name: "NVIDIA H200", memoryBytes: 139 * gib },
      { name: "Tesla T4", memoryBytes: 14.5 * gib },
      { name: "Tesla P40", memoryBytes: 22.5 * gib },
    ];
    const machine = estimateMachine({ name: "mine", processor, memoryBytes: 8 * gib, memoryBytesPerSecond: 20e9, gpus });
    expect(machine.devices.map(({ name, memoryBytes, memoryBytesPerSecond }) => [name, memoryBytes / gib, memoryBytesPerSecond])).toEqual([
      ["NVIDIA GeForce RTX 4090", 23.5, 1008e9],
      ["NVIDIA A100-SXM4-80GB", 79, 2039e9],
      ["NVIDIA A100-PCIE-40GB", 39, 1555e9],
      ["NVIDIA H200", 139, 4800e9],
      ["Tesla T4", 14.5, 320e9],
      // Not published here: the slowest with so much memory.
      ["Tesla P40", 22.5, 300e9],
      ["CPU, 2 cores, 20.0 GB/s", 8, 20e9],
    ]);
    expect(machine.assumptions!.filter((sentence) => sentence.includes("cuda:"))).toEqual(["cuda:5 is reckoned to be as fast as a L4."]);
  });

  it("reckons prefill by the processor's roof", () => {
    const rateOf = (int8OperationsPerSecond: number) =>
      estimateMachine({ name: "mine", processor: { ...processor, int8OperationsPerSecond }, memoryBytes: gib }).devices[0]!.rates
        .operationsPerSecond.q4_0!;
    expect(rateOf(4e12) / rateOf(1e12)).toBeCloseTo(4);
  });
});
