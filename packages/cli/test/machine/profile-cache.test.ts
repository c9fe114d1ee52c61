import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { machineFromPreset } from "@thermocline/solver";
import type { MachineProfile } from "@thermocline/spec";
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest";
import { loadMachineProfile } from "../../src/machine/load-machine-profile.js";
import { findingsOf } from "../../src/machine/machine-findings.js";
import { type MachineInventory, parseMemoryState, readMachineInventory } from "../../src/machine/machine-inventory.js";
import { machineNameOf, profilePath, readSavedProfile, saveProfile, userCacheFolder } from "../../src/machine/profile-cache.js";

const gib = 2 ** 30;
const folder = mkdtempSync(join(tmpdir(), "thermocline-machine-"));
beforeEach(() => {
  vi.stubEnv("XDG_CACHE_HOME", folder);
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const inventory: MachineInventory = {
  platform: "linux x64",
  processor: { name: "Processor 9000", numCores: 8, parallelism: 8, megahertz: 4000, loadAverage: 0 },
  memory: { totalBytes: 32 * gib, availableBytes: 30 * gib },
  cpuAddon: { available: true, isas: ["avx2", "scalar"] },
  cuda: { built: true, devices: [], reason: "no device: no NVIDIA driver is installed", runtimeVersion: "13.0" },
};
const gpu = { id: "cuda:0", name: "NVIDIA GeForce RTX 4090", totalBytes: 24 * gib, computeCapability: "8.9", multiprocessors: 128 };

const nowMs = Date.parse("2026-03-01T00:00:00Z");
function profileOf(known: MachineInventory): MachineProfile {
  const preset = machineFromPreset("ddr5-6000");
  const devices = preset.devices.map((device) => ({ ...device, threads: known.processor.parallelism }));
  return { ...preset, name: machineNameOf(known), source: "measured", date: "2026-02-01T00:00:00.000Z", devices };
}

describe("the cache of machine profiles", () => {
  it("lies where the user's caches do", () => {
    expect(userCacheFolder({ XDG_CACHE_HOME: "/caches" })).toBe(join("/caches", "thermocline"));
    expect(userCacheFolder({})).toMatch(/thermocline$/);
    expect(profilePath(inventory)).toMatch(/thermocline-machine-[^/\\]+.thermocline.machine-[0-9a-f]{16}\.json$/);
  });

  it("gives back what was saved, whole, and leaves no other file", async () => {
    const path = profilePath(inventory);
    await saveProfile(path, profileOf(inventory));
    await saveProfile(path, profileOf(inventory));
    expect(await readSavedProfile(path, inventory, nowMs)).toEqual({ profile: profileOf(inventory) });
    expect(readdirSync(join(path, ".."))).toEqual([path.split(/[/\\]/).at(-1)]);
  });

  it("keeps machines of other parts apart, but not those whose memory differs by what a kernel takes", () => {
    const { processor, memory } = inventory;
    const others: MachineInventory[] = [
      { ...inventory, processor: { ...processor, name: "Processor 9001" } },
      { ...inventory, processor: { ...processor, parallelism: 4 } },
      { ...inventory, cpuAddon: { available: true, isas: ["avx512", "avx2", "scalar"] } },
      { ...inventory, cpuAddon: { available: false, reasons: ["none"] } },
      { ...inventory, memory: { ...memory, limitBytes: 16 * gib } },
      { ...inventory, cuda: { ...inventory.cuda, devices: [gpu] } },
    ];
    expect(new Set([inventory, ...others].map(profilePath)).size).toBe(7);
    expect(profilePath({ ...inventory, memory: { ...memory, totalBytes: 32 * gib - 2 ** 27 } })).toBe(profilePath(inventory));
  });

  const stranger = { ...inventory, processor: { ...inventory.processor, name: "Other" } };
  const changed = (change: Partial<MachineProfile>) => JSON.stringify({ ...profileOf(inventory), ...change });
  const [device] = profileOf(inventory).devices;
  it.each<[string, string]>([
    ['is of "Other, 8 threads, avx2"', changed({ name: machineNameOf(stranger) })],
    ["is of 2025-01-01, too long ago", changed({ date: "2025-01-01T00:00:00.000Z" })],
    ["was made with 4 threads", changed({ devices: [{ ...device!, threads: 4 }] })],
    ["was made with another size of memory", changed({ devices: [{ ...device!, memoryBytes: 16 * gib }] })],
    ["was made on the reference backend", changed({ devices: [{ ...device!, backend: "reference" }] })],
    ["holds no profile that can be used", '{"version":1'],
    ["holds no profile that can be used", changed({ devices: [] })],
  ])("refuses a file that %s", async (reason, text) => {
    const path = profilePath(inventory);
    await saveProfile(path, profileOf(inventory));
    writeFileSync(path, text);
    const saved = await readSavedProfile(path, inventory, nowMs);
    expect(saved.profile).toBeUndefined();
    expect(saved).toHaveProperty("reason", expect.stringContaining(reason));
  });
});

describe("loadMachineProfile", () => {
  it("takes the measurement that was saved", async () => {
    const profile = { ...profileOf(inventory), date: new Date().toISOString() };
    await saveProfile(profilePath(inventory), profile);
    expect(await loadMachineProfile({ inventory })).toEqual({ profile, path: profilePath(inventory), isMeasured: true, notices: [] });
  });

  it("estimates where there is none, says so, and leaves out GPUs that run no models here", async () => {
    const withGpu = { ...inventory, cpuAddon: { available: false, reasons: ["none"] }, cuda: { built: true, devices: [gpu] } } as const;
    const { profile, isMeasured, notices } = await loadMachineProfile({ inventory: withGpu });
    expect(isMeasured).toBe(false);
    expect(notices).toEqual([
      expect.stringMatching(/not measured; rates are estimated, `thermocline doctor --calibrate`/),
      "cuda:0 cannot run models here and is left out",
    ]);
    expect(profile.devices.map(({ id, backend, memoryBytes }) => [id, backend, memoryBytes])).toEqual([
      ["reference:0", "reference", 32 * gib],
    ]);
    expect(profile.links).toEqual([]);
    const all = await loadMachineProfile({ inventory: withGpu, withIdleGpus: true });
    expect(all.profile.devices.map(({ id, memoryBytesPerSecond }) => [id, memoryBytesPerSecond]).at(0)).toEqual(["cuda:0", 1008e9]);
    expect(all.profile.links.map(({ from, to }) => [from, to])).toContainEqual(["cuda:0", "reference:0"]);
  });

  it("knows this machine", async () => {
    const { profile } = await loadMachineProfile();
    const { processor } = await readMachineInventory();
    expect(profile.name).toContain(processor.name);
    expect(profile.devices.at(-1)!.memoryBytesPerSecond).toBeGreaterThan(1e8);
  });
});

describe("findings", () => {
  const none = () => false;
  const codesOf = (known: MachineInventory, has = none as (name: string) => boolean) => findingsOf(known, has).map(({ code }) => code);

  it("are few on a good machine", () => {
    expect(codesOf(inventory)).toEqual(["no-cuda-device"]);
  });

  it("name what keeps the addon from being built", () => {
    const bare = { ...inventory, cpuAddon: { available: false, reasons: ["a: b"] } } as const;
    expect(findingsOf(bare, none)[0]!.problem).toMatch(/\(a: b\), and to build it cmake and a C\+\+ compiler are missing; models run on/);
    expect(findingsOf(bare, (name) => name === "g++")[0]!.problem).toMatch(/to build it cmake is missing/);
    expect(findingsOf(bare, () => true)[0]!.problem).not.toMatch(/missing/);
  });

  it("tell a missing driver, an old one, a missing addon and GPUs that cannot run models apart", () => {
    const cure = (cuda: MachineInventory["cuda"], has = none as (name: string) => boolean) =>
      findingsOf({ ...inventory, cuda }, has)[0]!.cure;
    expect(cure(inventory.cuda)).toMatch(/install its driver$/);
    expect(cure({ ...inventory.cuda, driverVersion: "11.0" })).toMatch(/install a driver for CUDA 13\.0$/);
    expect(cure({ built: false, devices: [], reason: "no addon" })).toMatch(/install the CUDA toolkit/);
    expect(cure({ built: false, devices: [], reason: "no addon" }, (name) => name === "nvcc")).toMatch(/build the repository again$/);
    expect(codesOf({ ...inventory, cuda: { built: true, devices: [gpu] } })).toEqual(["no-cuda-kernels"]);
  });

  it("see cores, load, limits, memory and swap", () => {
    const { processor, memory } = inventory;
    const poor: MachineInventory = {
      ...inventory,
      processor: { ...processor, parallelism: 2, loadAverage: 1.5 },
      memory: { ...memory, limitBytes: 4 * gib, availableBytes: gib, swapTotalBytes: 8 * gib, swapUsedBytes: gib },
    };
    const expected = ["no-cuda-device", "cores-withheld", "few-cores", "busy", "memory-limit", "little-memory", "memory-taken", "swapped"];
    expect(codesOf(poor)).toEqual(expected);
    for (const { problem, cure } of findingsOf(poor, none)) expect(`${problem}${cure}`).not.toMatch(/\.$|undefined|NaN/);
  });
});

describe("parseMemoryState", () => {
  it("reads what Linux tells", () => {
    const text = "MemTotal:       24683848 kB\nCached:          1024 kB\nSwapTotal:       4096 kB\nSwapFree:        1024 kB\n";
    expect(parseMemoryState(text)).toEqual({ pageCacheBytes: 2 ** 20, swapTotalBytes: 4 * 2 ** 20, swapUsedBytes: 3 * 2 ** 20 });
    expect(parseMemoryState("")).toEqual({});
  });
});

describe("what is saved", () => {
  it("is a profile that people can read", async () => {
    const path = profilePath(inventory);
    await saveProfile(path, profileOf(inventory));
    expect(readFileSync(path, "utf8").split("\n").length).toBeGreaterThan(20);
  });
});
