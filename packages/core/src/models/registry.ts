/** Every architecture with a graph, by its name in `general.architecture`. */
import type { Architecture } from "./architecture.js";
import { bert } from "./bert.js";
import { gemma2 } from "./gemma2.js";
import { gemma3 } from "./gemma3.js";
import { llama } from "./llama.js";
import { phi3 } from "./phi3.js";
import { qwen2 } from "./qwen2.js";
import { qwen3 } from "./qwen3.js";
import { qwen3moe } from "./qwen3moe.js";

const known: readonly Architecture[] = [llama, qwen2, qwen3, qwen3moe, gemma2, gemma3, phi3, bert];

export const architectures: ReadonlyMap<string, Architecture> = new Map(known.map((architecture) => [architecture.name, architecture]));
