import { describe, expect, it } from "vitest";
import {
  absentHandle,
  bindingBit,
  bindingNames,
  dtypes,
  type HandleResolver,
  type OpDefinition,
  opNames,
  opTable,
  packCommands,
  packedCommandByteLength,
  tensorsOf,
  wordsPerTensor,
} from "../src/index.js";
import { RecordingEncoder, tensor } from "./operands.js";

const counters = new Int32Array(new SharedArrayBuffer(256));
const handles: HandleResolver = { handleOfTensor: ({ byteOffset }) => 100 + byteOffset / 64, handleOfSignal: () => 77 };

/** One command of every op. */
function recordEverything(): RecordingEncoder {
  const encoder = new RecordingEncoder();
  const matrix = tensor([2, 8]);
  const ids = tensor([2], "i32");
  const heads = tensor([2, 4, 8]);
  const cache = tensor([8, 4, 16, 8], "f16");
  encoder.embed(matrix, tensor([50, 8], "q8_0", { layout: "packed" }), ids);
  encoder.gatherRows(matrix, tensor([9, 8]), ids);
  encoder.rmsNorm(matrix, matrix, tensor([8]), 1e-5);
  encoder.layerNorm(matrix, matrix, tensor([8]), undefined, 1e-5);
  encoder.matmul(matrix, tensor([2, 4]), tensor([8, 4]));
  encoder.rope(heads, heads, ids, { theta: 1e4, dims: 8, mode: "neox" });
  encoder.storeKv(heads, heads, cache, cache, ids);
  encoder.attention(heads, heads, {
    keyCache: cache,
    valueCache: cache,
    blockTables: tensor([2, 3], "i32"),
    contextLengths: ids,
    queryStarts: tensor([3], "i32"),
    scale: 0.25,
    slidingWindow: 12,
  });
  encoder.activate(matrix, matrix, undefined, "relu");
  encoder.add(matrix, matrix, matrix);
  encoder.softcap(matrix, matrix, 30);
  encoder.sample(ids, matrix, {
    params: tensor([2, 10]),
    randomState: tensor([2, 2], "i32"),
    editIds: tensor([2, 3], "i32"),
    editValues: tensor([2, 6]),
    surpriseLimits: tensor([2]),
  });
  encoder.topLogprobs(tensor([2, 3], "i32"), tensor([2, 3]), matrix, ids);
  encoder.fill(matrix, 2.5);
  encoder.copy(matrix, matrix);
  encoder.signal({ counters, slot: 16 });
  encoder.wait({ counters, slot: 32 });
  encoder.routeExperts(tensor([2, 3], "i32"), tensor([2, 3]), matrix, { normalize: true });
  encoder.expertMatmul(tensor([2, 3, 8]), tensor([2, 4]), tensor([5, 8, 4]), {
    expertIds: tensor([2, 3], "i32"),
    expertSlots: tensor([8], "i32"),
  });
  encoder.combineExperts(matrix, tensor([2, 3, 8]), tensor([2, 3]));
  encoder.meanPool(matrix, tensor([9, 8]), tensor([3], "i32"));
  return encoder;
}

describe("packed commands", () => {
  it("hold a tensor as handle, types, four dimensions and stride, with its byte offset beside them", () => {
    const encoder = new RecordingEncoder();
    const out = tensor(["numTokens", 8], "f32", { byteOffset: 128, rowStride: 24 });
    encoder.fill(out, -0.5);
    const { words, numbers } = packCommands(encoder.commands, handles);
    const numTokens = (bindingBit | bindingNames.indexOf("numTokens")) >>> 0;
    expect([...words]).toEqual([opTable.fill.opcode, wordsPerTensor, 2, 102, dtypes.f32.ggmlType | (2 << 16), numTokens, 8, 1, 1, 24, 0]);
    expect([...numbers]).toEqual([128, -0.5]);
  });

  it("mark packed layouts, absent tensors and enums", () => {
    const encoder = new RecordingEncoder();
    encoder.matmul(tensor([2, 8]), tensor([2, 32]), tensor([8, 32], "q4_0", { layout: "packed" }));
    encoder.activate(tensor([2, 8]), tensor([2, 8]), undefined, "gelu");
    const { words } = packCommands(encoder.commands, handles);
    const field = (command: number, index: number) =>
      words.subarray(command + 3 + index * wordsPerTensor, command + 3 + (index + 1) * wordsPerTensor);
    expect(field(0, 2)[1]).toBe(dtypes.q4_0.ggmlType | (1 << 8) | (2 << 16));
    expect([...field(0, 3)]).toEqual([absentHandle, 0, 0, 0, 0, 0, 0, 0]);
    const activate = 3 + words[1]!;
    expect(words[activate]).toBe(opTable.activate.opcode);
    expect(words[activate + 3 + 3 * wordsPerTensor]).toBe(1);
  });

  it("can be walked by the lengths in their headers, for every op", () => {
    const { commands } = recordEverything();
    const { words, numbers } = packCommands(commands, handles);
    const opcodes: number[] = [];
    let at = 0;
    let numbersSeen = 0;
    while (at < words.length) {
      const [opcode, wordCount, numberCount] = words.subarray(at, at + 3);
      opcodes.push(opcode!);
      at += 3 + wordCount!;
      numbersSeen += numberCount!;
    }
    expect(at).toBe(words.length);
    expect(numbersSeen).toBe(numbers.length);
    expect(opcodes).toEqual(opNames.map((name) => opTable[name].opcode));
  });

  it("take as many bytes as their op says, whatever their operands", () => {
    const { commands } = recordEverything();
    for (const command of commands) {
      const { words, numbers } = packCommands([command], handles);
      expect(packedCommandByteLength(command.op), command.op).toBe(words.byteLength + numbers.byteLength);
    }
  });

  it("carry signals as handle and slot", () => {
    const encoder = new RecordingEncoder();
    encoder.signal({ counters, slot: 48 });
    const { words, numbers } = packCommands(encoder.commands, handles);
    expect([...words]).toEqual([opTable.signal.opcode, 2, 0, 77, 48]);
    expect(numbers).toHaveLength(0);
  });
});

describe("the op table", () => {
  it("gives every op its own number", () => {
    expect(new Set(Object.values(opTable).map(({ opcode }) => opcode)).size).toBe(opNames.length);
  });

  it("names the fields that commands have", () => {
    for (const command of recordEverything().commands) {
      const { fields } = opTable[command.op] as OpDefinition;
      expect(Object.keys(command).sort(), command.op).toEqual(["op", ...Object.keys(fields)].sort());
      const present = tensorsOf(command).map(([field]) => field);
      const values = command as unknown as Record<string, unknown>;
      const tensorFields = Object.keys(fields).filter((field) => fields[field]!.startsWith("tensor") && values[field] !== undefined);
      expect(present).toEqual(tensorFields);
    }
  });
});
