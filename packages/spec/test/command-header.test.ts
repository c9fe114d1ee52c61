import { describe, expect, it } from "vitest";
import { generateCommandHeader } from "../src/command-header.js";
import { bindingNames, dtypes, enums, opTable, wordsPerTensor } from "../src/index.js";

const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const header = generateCommandHeader();

describe("the generated C++ header", () => {
  it("is the same at every call", () => {
    expect(generateCommandHeader()).toBe(header);
  });

  it.each(Object.entries(opTable))("has the number, the struct and the reader of %s", (name, { opcode, fields }) => {
    const structName = `${name[0]!.toUpperCase()}${name.slice(1)}Command`;
    expect(header).toContain(`  ${snakeCase(name)} = ${opcode},`);
    expect(header).toContain(`case OpCode(${opcode}): return "${name}";`);
    const struct = header.match(new RegExp(`struct ${structName} \\{\\n([^}]*)\\};`))![1]!;
    const members = struct
      .trim()
      .split("\n")
      .map((line) => line.trim().replace(";", "").split(" ").at(-1));
    expect(members).toEqual(Object.keys(fields).map(snakeCase));
    const reader = header.match(new RegExp(`case OpCode::${snakeCase(name)}: return ${structName}\\{\\n([^}]*)\\};`))![1]!;
    expect(reader.match(/reader\./g)).toHaveLength(Object.keys(fields).length);
  });

  it("has every dtype by its ggml number, every binding and every enum", () => {
    for (const [name, { ggmlType }] of Object.entries(dtypes)) expect(header).toContain(`  ${name} = ${ggmlType},`);
    for (const [index, name] of bindingNames.entries()) expect(header).toContain(`  ${snakeCase(name)} = ${index},`);
    for (const members of Object.values(enums))
      for (const [index, member] of members.entries()) expect(header).toContain(`  ${member} = ${index},`);
    expect(header).toContain(`words_per_tensor = ${wordsPerTensor};`);
  });

  it("has the elements and bytes of a block of every dtype", () => {
    for (const [name, { blockSize, blockBytes }] of Object.entries(dtypes))
      expect(header).toContain(`case DType::${name}: return {${blockSize}, ${blockBytes}};`);
  });
});
