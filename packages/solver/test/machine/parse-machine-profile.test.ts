import { InvalidMachineProfileError, type MachineProfile } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { machineFromPreset, parseMachineProfile } from "../../src/index.js";

type Writable<T> = { -readonly [Key in keyof T]: Writable<T[Key]> };
type Profile = Writable<MachineProfile>;

const changed = (change: (profile: Profile) => void): Profile => {
  const profile = structuredClone(machineFromPreset("rtx3060+ddr4-3200")) as Profile;
  change(profile);
  return profile;
};

describe("parseMachineProfile", () => {
  it("reads text and values, with everything a measurement adds", () => {
    const profile = changed((value) => {
      value.source = "measured";
      value.date = "2026-01-02T03:04:05.000Z";
      value.measurements = [{ subject: "cpu:0", quantity: "kvBytesPerSecond", value: 2, least: 1, most: 3, numSamples: 5 }];
    });
    expect(parseMachineProfile(JSON.stringify(profile))).toEqual(profile);
    expect(parseMachineProfile(profile)).toBe(profile);
  });

  const faults: readonly (readonly [subject: string, fault: string, change: (profile: Profile) => void])[] = [
    ["version", "is 2", (profile) => Object.assign(profile, { version: 2 })],
    ["version", 'is "1"', (profile) => Object.assign(profile, { version: "1" })],
    ["document", 'lacks "links"', (profile) => Reflect.deleteProperty(profile, "links")],
    ["document", 'unknown field "gpus"', (profile) => Object.assign(profile, { gpus: [] })],
    ["devices", "is empty", (profile) => Object.assign(profile, { devices: [], links: [] })],
    ["devices[1].id", '"cuda:0" again', (profile) => Object.assign(profile.devices[1]!, { id: "cuda:0" })],
    ["devices[0].id", "GPU", (profile) => Object.assign(profile.devices[0]!, { id: "GPU" })],
    ["devices[0].memoryBytesPerSecond", "is 0", (profile) => Object.assign(profile.devices[0]!, { memoryBytesPerSecond: 0 })],
    ["devices[0].contextBytes", "more than memoryBytes", (profile) => Object.assign(profile.devices[0]!, { memoryBytes: 1 })],
    [
      "devices[0].rates.kvBytesPerSecond",
      "is null",
      (profile) => Object.assign(profile.devices[0]!.rates, { kvBytesPerSecond: Number.NaN }),
    ],
    [
      "devices[1].rates.weightBytesPerSecond",
      'lacks "other"',
      (profile) => Reflect.deleteProperty(profile.devices[1]!.rates.weightBytesPerSecond, "other"),
    ],
    [
      "devices[1].rates.operationsPerSecond",
      '"q4_9"',
      (profile) => Object.assign(profile.devices[1]!.rates.operationsPerSecond, { q4_9: 1 }),
    ],
    ["links[0].to", '"cuda:7", which is no device', (profile) => Object.assign(profile.links[0]!, { to: "cuda:7" })],
    ["links[0]", "to itself", (profile) => Object.assign(profile.links[0]!, { to: profile.links[0]!.from })],
    ["links[2]", "again", (profile) => profile.links.push(profile.links[0]!)],
    ["links[1].latencySeconds", "is -1", (profile) => Object.assign(profile.links[1]!, { latencySeconds: -1 })],
  ];
  it.each(faults)("names %s where it %s", (subject, fault, change) => {
    const parse = () => parseMachineProfile(JSON.stringify(changed(change)));
    expect(parse).toThrow(InvalidMachineProfileError);
    expect(parse).toThrow(expect.objectContaining({ subject }));
    expect(parse).toThrow(fault);
  });

  it("refuses what is no JSON and what is no object", () => {
    expect(() => parseMachineProfile("{")).toThrow(/text is no JSON/);
    expect(() => parseMachineProfile("[]")).toThrow(/document is an array/);
    expect(() => parseMachineProfile(undefined)).toThrow(InvalidMachineProfileError);
  });
});
