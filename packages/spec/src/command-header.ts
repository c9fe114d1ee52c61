/** Writes the C++ header that native backends compile against: opcodes, enums, one struct an op and its reader, from the op table. */
import { bindingNames } from "./backend.js";
import { absentHandle, bindingBit, layoutCodes, maxTensorRank, wordsPerTensor } from "./command.js";
import { dtypes } from "./dtype.js";
import { enums, type FieldKind, type OpDefinition, opTable } from "./op-table.js";

const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const pascalCase = (name: string) => name[0]!.toUpperCase() + name.slice(1);

function cppType(kind: FieldKind): string {
  if (kind === "tensor" || kind === "tensor?") return "Tensor";
  if (kind === "signal") return "Signal";
  if (kind === "u32") return "uint32_t";
  if (kind === "f64") return "double";
  return pascalCase(kind);
}

function cppRead(kind: FieldKind): string {
  if (kind === "tensor") return "reader.tensor()";
  if (kind === "tensor?") return "reader.optional_tensor()";
  if (kind === "signal") return "reader.signal()";
  if (kind === "u32") return "reader.word()";
  if (kind === "f64") return "reader.number()";
  return `static_cast<${pascalCase(kind)}>(reader.word())`;
}

function enumDefinition(name: string, members: readonly (readonly [string, number])[], type = "uint32_t"): string {
  const lines = members.map(([member, value]) => `  ${member} = ${value},`);
  return `enum class ${name} : ${type} {\n${lines.join("\n")}\n};`;
}

/**
 * The header includes `command_reader.h`, which the native package writes: `Tensor`, `Signal`, and `CommandReader` with
 * `word()`, `number()`, `tensor()`, `optional_tensor()` and `signal()`. It is a build output and never edited.
 */
export function generateCommandHeader(): string {
  const ops = Object.entries(opTable) as [string, OpDefinition][];
  const constants = [
    `inline constexpr uint32_t words_per_tensor = ${wordsPerTensor};`,
    `inline constexpr uint32_t max_tensor_rank = ${maxTensorRank};`,
    `inline constexpr uint32_t absent_handle = ${absentHandle}u;`,
    `inline constexpr uint32_t binding_bit = ${bindingBit}u;`,
    `inline constexpr uint32_t num_bindings = ${bindingNames.length};`,
  ];
  const definitions = [
    enumDefinition(
      "OpCode",
      ops.map(([name, { opcode }]) => [snakeCase(name), opcode] as const),
    ),
    enumDefinition(
      "DType",
      Object.entries(dtypes).map(([name, { ggmlType }]) => [name, ggmlType] as const),
    ),
    enumDefinition("Layout", Object.entries(layoutCodes)),
    enumDefinition(
      "Binding",
      bindingNames.map((name, index) => [snakeCase(name), index] as const),
    ),
    ...Object.entries(enums).map(([name, members]) =>
      enumDefinition(
        pascalCase(name),
        members.map((member, index) => [member, index] as const),
      ),
    ),
  ];
  const structs = ops.map(([name, { fields }]) => {
    const members = Object.entries(fields).map(([field, kind]) => `  ${cppType(kind)} ${snakeCase(field)};`);
    return `struct ${pascalCase(name)}Command {\n${members.join("\n")}\n};`;
  });
  const readers = ops.map(([name, { fields }]) => {
    const reads = Object.values(fields).map((kind) => `    ${cppRead(kind)},`);
    return `    case OpCode::${snakeCase(name)}: return ${pascalCase(name)}Command{\n${reads.join("\n")}\n    };`;
  });
  const blocks = Object.entries(dtypes).map(
    ([name, { blockSize, blockBytes }]) => `    case DType::${name}: return {${blockSize}, ${blockBytes}};`,
  );
  const names = ops.map(([name, { opcode }]) => `    case OpCode(${opcode}): return "${name}";`);
  return `// Generated from the op table of @thermocline/spec. Do not edit.
#pragma once
#include <cstdint>
#include <optional>
#include <variant>

namespace thermocline {

${constants.join("\n")}

${definitions.join("\n\n")}

// Elements and bytes of one block as files store it; {0, 0} for a number that names no storage type.
struct StorageBlock {
  uint32_t elements;
  uint32_t bytes;
};

// Internal linkage: files compiled for one instruction set include this and must not lend their copy to others.
static constexpr StorageBlock storage_block(DType dtype) {
  switch (dtype) {
${blocks.join("\n")}
  }
  return {0, 0};
}

}  // namespace thermocline

#include "thermocline/command_reader.h"

namespace thermocline {

${structs.join("\n\n")}

using Command = std::variant<
${ops.map(([name]) => `    ${pascalCase(name)}Command`).join(",\n")}>;

inline const char* op_name(OpCode opcode) {
  switch (opcode) {
${names.join("\n")}
  }
  return "unknown";
}

/** Reads the fields of one command; empty for an opcode that this build does not know. */
inline std::optional<Command> read_command(OpCode opcode, CommandReader& reader) {
  switch (opcode) {
${readers.join("\n")}
  }
  return std::nullopt;
}

}  // namespace thermocline
`;
}
