/** The native CPU backend. Without an addon `createCpuBackend` throws; `@thermocline/cpu-kernels/reference` works everywhere. */
export { type CpuBackendOptions, type CpuIsa, cpuIsas, createCpuBackend, supportedIsas } from "./cpu-backend.js";
export { cpuTraits } from "./default-traits.js";
export { type BackendAvailability, cpuBackendAvailability, loadCpuBinding } from "./load-binding.js";
export type { NativeBinding } from "./native-binding.js";
export { measureReadBandwidth, type ReadBandwidth, type ReadBandwidthOptions } from "./read-bandwidth.js";
export { createCpuTraits } from "./traits.js";
