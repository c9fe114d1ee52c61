export { readModelConfig } from "./config/model-config.js";
export { createEmbedder } from "./embedder.js";
export type { EmbedderOptions } from "./embedder-options.js";
export { createEngine, type LoadedEngine } from "./engine.js";
export type { EngineDiagnostics, EngineOptions } from "./engine-options.js";
export type { LoadProgress } from "./model-memory.js";
export { architectures } from "./models/registry.js";
export { listOffloadUnits, placeOnOneDevice } from "./offload-units.js";
export * from "./tokenizer/index.js";
