import { availableParallelism } from "node:os";
import type { BackendTraits } from "@thermocline/spec";
import { createCpuTraits } from "./traits.js";

/** Traits of a CPU backend with as many threads as this process may use, which is the default of `createCpuBackend`. */
export const cpuTraits: BackendTraits = createCpuTraits({ threads: availableParallelism() });
