export * from "./assertion.js";
export * from "./backend.js";
export {
  absentHandle,
  bindingBit,
  type Command,
  type CommandOf,
  type HandleResolver,
  layoutCodes,
  maxTensorRank,
  type PackedCommands,
  packCommands,
  packedCommandByteLength,
  tensorsOf,
  wordsPerTensor,
} from "./command.js";
export { CommandEncoder, recordCommand } from "./command-encoder.js";
export * from "./dtype.js";
export * from "./engine.js";
export * from "./errors.js";
export * from "./kernel-set.js";
export * from "./kernel-support.js";
export * from "./machine.js";
export * from "./memory.js";
export * from "./memory-demand.js";
export * from "./memory-ledger.js";
export * from "./model-source.js";
export * from "./offload-plan.js";
export * from "./offload-problem.js";
export * from "./offload-unit.js";
export * from "./op-table.js";
export * from "./sampling.js";
export * from "./tensor-slices.js";
export * from "./tokenizer.js";
