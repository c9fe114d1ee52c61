export { createEngine, type EngineDiagnostics, type EngineOptions, type LoadedEngine } from "./engine.js";
export { readModelConfig } from "./model-config.js";
export type { LoadProgress } from "./model-memory.js";
export { architectures } from "./models/registry.js";
export { listOffloadUnits, placeOnOneDevice } from "./offload-units.js";
export * from "./tokenizer/index.js";
