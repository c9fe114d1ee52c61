import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { BackendUnavailableError } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { createCudaBackend, probeCuda, selfTest } from "../src/index.js";

const probe = probeCuda();
const hasDevice = probe.devices.length > 0;
const addon = fileURLToPath(new URL("../build/Release/thermocline-cuda.node", import.meta.url));
if (!hasDevice) console.warn(`cuda-kernels: the self-test of the kernel is skipped: ${probe.reason}`);

describe("probeCuda", () => {
  it("knows whether the addon was built", () => {
    expect(probe.built).toBe(existsSync(addon));
    expect(probe.runtimeVersion !== undefined).toBe(probe.built);
  });

  it("lists devices, or says why there are none", () => {
    expect(probe.reason === undefined).toBe(hasDevice);
    if (hasDevice) {
      for (const [index, device] of probe.devices.entries()) {
        expect(device.id).toBe(`cuda:${index}`);
        expect(device.name.length).toBeGreaterThan(0);
        expect(device.totalBytes).toBeGreaterThan(2 ** 28);
        expect(device.computeCapability).toMatch(/^\d+\.\d$/);
        expect(device.multiprocessors).toBeGreaterThan(0);
      }
      expect(probe.driverVersion).toMatch(/^\d+\.\d$/);
    } else {
      expect(probe.reason).toMatch(probe.built ? /^no device: / : /addon/);
    }
  });

  it.runIf(probe.built)("answers the same from a worker that loads the addon again", async () => {
    const worker = new Worker(
      `const { parentPort, workerData } = require("node:worker_threads"); parentPort.postMessage(require(workerData).probe());`,
      { eval: true, workerData: addon },
    );
    const found = await new Promise<{ devices: unknown[] }>((resolve, reject) => worker.once("message", resolve).once("error", reject));
    expect(found.devices).toHaveLength(probe.devices.length);
  });
});

describe("selfTest", () => {
  it.runIf(hasDevice)("computes a known sum on every device", () => {
    for (const index of probe.devices.keys())
      expect(selfTest(index)).toEqual({ passed: true, expected: 46_912_496_107_520, actual: 46_912_496_107_520 });
  });

  it("refuses a device that is not there, naming the reason", () => {
    expect(() => selfTest(probe.devices.length)).toThrow(BackendUnavailableError);
    expect(() => selfTest(probe.devices.length)).toThrow(hasDevice ? `there is no cuda:${probe.devices.length}` : probe.reason);
  });
});

describe("createCudaBackend", () => {
  it("throws the typed error that says why and what to do instead", () => {
    expect(() => createCudaBackend()).toThrow(BackendUnavailableError);
    expect(() => createCudaBackend()).toThrow(
      expect.objectContaining({
        code: "backend-unavailable",
        backend: "cuda",
        reasons: ["this package has no compute kernels", expect.any(String)],
      }),
    );
  });
});
