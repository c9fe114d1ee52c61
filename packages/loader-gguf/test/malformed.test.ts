import { describe, expect, it } from "vitest";
import { HeaderCursor, NeedMoreBytes } from "../src/header-cursor.js";
import { GgufFormatError, limits, openGguf } from "../src/index.js";
import { errorOf } from "./inspect.js";
import {
  bytes,
  here,
  key,
  layOut,
  type Part,
  pad,
  start,
  string,
  type TensorFields,
  tensor,
  text,
  u8,
  u32,
  u64,
  zeros,
} from "./raw-header.js";

/** The file's parts come last; its place is that of `here`. A value that is undefined may be any. */
type Malformed = readonly [what: string, field: string, value: string | number | undefined, ...parts: readonly (Part | readonly Part[])[]];

/** Value types. */
const type = { u8: 0, u32: 4, i32: 5, bool: 7, string: 8, array: 9, f64: 12 } as const;

const oneEntry = start({ metadata: 1 });
const twoTensors = start({ tensors: 2 });

function oneTensor(what: string, at: Parameters<typeof tensor>[1] & string, fields: TensorFields, value: string | number): Malformed {
  return [what, `tensors[w].${at}`, value, start({ tensors: 1 }), tensor(fields, at), pad(32), zeros(64)];
}

const cases: readonly Malformed[] = [
  ["an empty file", "magic", 0, here],
  ["a file of three bytes", "magic", 3, here, zeros(3)],
  ["another magic", "magic", '"GGML"', here, start({ magic: "GGML" })],
  ["a Git LFS pointer", "magic", '"vers"', here, text("version https://git-lfs")],
  ...[0, 1, 4].map((version): Malformed => [`version ${version}`, "version", version, start({ version })]),
  ["a big endian file", "version", 0x03000000, start({ version: 0x03000000 })],
  ["a negative tensor count", "tensorCount", "18446744073709551615", start({ tensors: 2n ** 64n - 1n })],
  ["an absurd tensor count", "tensorCount", 1e12, start({ tensors: 1e12 })],
  ["a tensor count that the file cannot hold", "tensorCount", 100_000, start({ tensors: 100_000 })],
  ["an absurd metadata count", "metadataCount", 2 ** 40, start({ metadata: 2 ** 40 })],
  ["a metadata count that the file cannot hold", "metadataCount", 9, start({ metadata: 9 }), zeros(99)],

  ["an empty key", "metadata[0].key", undefined, oneEntry, here, key("", type.u8), zeros(9)],
  ["a key longer than allowed", "metadata[0].key", 65_536, oneEntry, here, key("k".repeat(65_536), type.u8), u8(1)],
  ["a key longer than the file", "metadata[0].key", 1000, oneEntry, here, u64(1000), zeros(30)],
  ["a key that is not UTF-8", "metadata[0].key", "61ff", oneEntry, u64(2), here, bytes(0x61, 0xff), u32(type.u8), u8(1)],
  ["a repeated key", "metadata[1].key", "a", start({ metadata: 2 }), key("a", type.u8), u8(1), here, key("a", type.u8), u8(1)],
  ["an unknown value type", "metadata[a].type", 13, oneEntry, string("a"), here, u32(13), zeros(8)],
  ["a bool of 2", "metadata[a].value", 2, oneEntry, key("a", type.bool), here, u8(2)],
  ["a string longer than the file", "metadata[a].value", 50, oneEntry, key("a", type.string), here, u64(50), zeros(49)],
  [
    "a string longer than allowed",
    "metadata[a].value",
    limits.stringBytes + 1,
    oneEntry,
    key("a", type.string),
    here,
    u64(limits.stringBytes + 1),
  ],
  ["an array of an unknown type", "metadata[a].elementType", 99, oneEntry, key("a", type.array), here, u32(99), u64(0)],
  ["an array longer than allowed", "metadata[a].length", 2 ** 30, oneEntry, key("a", type.array), u32(type.u8), here, u64(2 ** 30)],
  ...[type.u8, type.i32, type.string, type.array, type.f64].map(
    (elementType): Malformed => [
      `an array of type ${elementType} longer than the file`,
      "metadata[a].length",
      101,
      oneEntry,
      key("a", type.array),
      u32(elementType),
      here,
      u64(101),
      zeros(100),
    ],
  ),
  [
    "a string in an array longer than the file",
    "metadata[a].value",
    500,
    oneEntry,
    key("a", type.array),
    u32(type.string),
    u64(2),
    string("x"),
    here,
    u64(500),
    zeros(9),
  ],
  [
    "arrays nested too deep",
    "metadata[a].type",
    limits.arrayDepth + 1,
    oneEntry,
    key("a", type.array),
    Array.from({ length: limits.arrayDepth }, () => [u32(type.array), u64(1)]).flat(),
    here,
    u32(type.u8),
    u64(0),
  ],
  ...[0, 3, 24, 2 ** 21].map(
    (alignment): Malformed => [
      `an alignment of ${alignment}`,
      "metadata[general.alignment].value",
      String(alignment),
      oneEntry,
      key("general.alignment", type.u32),
      here,
      u32(alignment),
    ],
  ),
  [
    "an alignment that is a string",
    "metadata[general.alignment].value",
    "wide",
    oneEntry,
    key("general.alignment", type.string),
    here,
    string("wide"),
  ],

  ["an empty tensor name", "tensors[0].name", undefined, start({ tensors: 1 }), tensor({ name: "" }, "name"), zeros(64)],
  [
    "a tensor name longer than allowed",
    "tensors[0].name",
    limits.tensorNameBytes + 1,
    start({ tensors: 1 }),
    tensor({ name: "n".repeat(limits.tensorNameBytes + 1) }, "name"),
    zeros(64),
  ],
  ["a tensor name that is not UTF-8", "tensors[0].name", "c0", start({ tensors: 1 }), u64(1), here, u8(0xc0), zeros(64)],
  ["a repeated tensor name", "tensors[1].name", "w", twoTensors, tensor({}), tensor({ offset: 32 }, "name"), zeros(99)],
  oneTensor("five dimensions", "dimensions", { shape: [1, 1, 1, 1, 1] }, 5),
  oneTensor("an absurd number of dimensions", "dimensions", { shape: new Array(200).fill(1) }, 200),
  oneTensor("a dimension beyond 2^53", "shape", { shape: [2n ** 60n] }, "1152921504606846976"),
  oneTensor("a product of dimensions that overflows", "shape", { shape: [2 ** 32, 2 ** 32] }, "4294967296×4294967296"),
  oneTensor("a byte length that overflows", "shape", { shape: [2 ** 51] }, `${2 ** 51}`),
  oneTensor("a row of half a block", "shape", { shape: [16, 2], type: 2 }, 16),
  oneTensor("a row that is no whole super-block", "shape", { shape: [128, 2], type: 12 }, 128),
  ...[4, 5, 31, 33, 36, 38, 41, 2 ** 32 - 1].map((ggmlType) => oneTensor(`ggml type ${ggmlType}`, "type", { type: ggmlType }, ggmlType)),
  oneTensor("a misaligned offset", "offset", { offset: 16 }, 16),
  oneTensor("an offset past the end", "offset", { offset: 96 }, 96),
  oneTensor("an offset beyond 2^53", "offset", { offset: 2n ** 63n }, "9223372036854775808"),
  oneTensor("an offset whose sum with the size overflows", "offset", { offset: 2 ** 53 - 32 }, 2 ** 53 - 32),
  oneTensor("data that the file ends before", "offset", { shape: [17] }, 0),
  ["tensors that share bytes", "tensors[b].offset", 0, twoTensors, tensor({ name: "a" }), tensor({ name: "b" }, "offset"), zeros(200)],
];

/** Fields of the fixed part stand at the same place in every file. */
const fixedOffsets: Readonly<Record<string, number>> = { version: 4, tensorCount: 8, metadataCount: 16 };

describe("a malformed file is refused, with field, value and place", () => {
  const named = cases.map(([what, field, value, ...parts]) => ({ what, field, value, parts: parts.flat() }));
  it.each(named)("$what", async ({ field, value, parts }) => {
    const { bytes: file, hereOffset } = layOut(parts);
    const byteOffset = fixedOffsets[field] ?? hereOffset;
    const error = (await errorOf(() => openGguf(new Blob([file])))) as GgufFormatError;
    expect(error).toBeInstanceOf(GgufFormatError);
    expect({ field: error.field, byteOffset: error.byteOffset }).toEqual({ field, byteOffset });
    if (value !== undefined) expect(error.value).toBe(value);
    expect(error.message).toContain(`${field} at byte ${byteOffset}`);
    expect(error.cure.length).toBeGreaterThan(0);
    expect(() => JSON.stringify(error)).not.toThrow();
  });

  it("a header beyond its limit is refused before more of it is read", () => {
    const cursor = new HeaderCursor("model.gguf", 2 ** 40);
    cursor.offset = limits.headerBytes - 7;
    expect(() => cursor.u64("value")).toThrow(GgufFormatError);
    cursor.offset = limits.headerBytes - 8;
    let thrown: unknown;
    try {
      cursor.u64("value");
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toEqual(new NeedMoreBytes(limits.headerBytes));
  });
});
