/** Every architecture with a graph, by its name in `general.architecture`. */
import type { Architecture } from "./architecture.js";
import { llama } from "./llama.js";

export const architectures: ReadonlyMap<string, Architecture> = new Map([llama].map((architecture) => [architecture.name, architecture]));
