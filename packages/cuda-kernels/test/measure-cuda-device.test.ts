import { BackendUnavailableError } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { measureCudaDevice, probeCuda } from "../src/index.js";
import { loadCudaBinding } from "../src/load-binding.js";

const { devices, built, reason } = probeCuda();
const hasDevice = devices.length > 0;
if (!hasDevice) console.warn(`cuda-kernels: the measurement of a device is skipped: ${reason}`);

describe("measureCudaDevice", () => {
  it.runIf(hasDevice)("finds figures that hold together", async () => {
    const { figures, measurements, contextBytes, totalBytes } = await measureCudaDevice(0);
    expect(measurements.map(({ quantity }) => quantity)).toEqual(Object.keys(figures));
    for (const { value, least, most } of measurements) {
      expect(least).toBeGreaterThan(0);
      expect(value).toBeGreaterThanOrEqual(least);
      expect(value).toBeLessThanOrEqual(most);
    }
    expect(figures.deviceReadBytesPerSecond).toBeGreaterThan(figures.hostToDeviceBytesPerSecond!);
    expect(figures.graphNodeSeconds).toBeLessThan(figures.launchAndWaitSeconds!);
    expect(contextBytes).toBeGreaterThan(0);
    expect(contextBytes).toBeLessThan(totalBytes);
  });

  it("refuses a device that is not there, naming the reason", async () => {
    const measured = measureCudaDevice(devices.length);
    await expect(measured).rejects.toThrow(BackendUnavailableError);
    await expect(measured).rejects.toThrow(hasDevice ? `there is no cuda:${devices.length}` : reason);
  });

  it.runIf(built)("answers in CUDA's words from the addon itself, which rejects nothing", async () => {
    const { problem, figures } = await loadCudaBinding().binding!.calibrate(devices.length);
    expect(problem).toMatch(hasDevice ? /^there is no device/ : /^cudaGetDeviceCount: cudaError/);
    expect(figures).toEqual([]);
  });
});
