export { type EncodedGguf, type EncodedTensor, encodeGguf, type GgufContent, type GgufTensor } from "./encoder.js";
export { GgufFormatError, RangeUnsupportedError, SecureContextRequiredError, ShortReadError } from "./errors.js";
export { type GgufPlainArray, type GgufPlainValue, type GgufTypedValue, type GgufValue, typedMetadata } from "./gguf-value.js";
export type { GgufMagic } from "./header.js";
export { limits } from "./limits.js";
export { type GgufSource, openGguf } from "./open.js";
export type { GgufLocation, OpenOptions } from "./shard-file.js";
export type { GgufNumberArray, GgufScalarType, GgufType } from "./value-type.js";
export { buildGguf, type WriteOptions, type WriteTarget, writeGguf } from "./writer.js";
