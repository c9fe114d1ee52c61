/** Pure TypeScript backend: the oracle of the op cases and the fallback without an addon. */
export { canDequantize, dequantizeRows } from "./dequantize/index.js";
export { createReferenceBackend, type ReferenceBackendOptions } from "./reference-backend.js";
export { referenceTraits } from "./traits.js";
