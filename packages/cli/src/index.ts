export type { BackendName } from "./backends.js";
export { formatMemory } from "./format-memory.js";
export { type ModelLocation, type OpenedModel, type OpenOptions, open } from "./open.js";
export { type OpenEmbedderOptions, type OpenedEmbedder, openEmbedder } from "./open-embedder.js";
