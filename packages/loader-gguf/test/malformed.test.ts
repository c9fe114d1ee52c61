import { describe, expect, it } from "vitest";
import { ByteWriter } from "../src/byte-writer.js";
import { HeaderCursor, NeedMoreBytes } from "../src/header-cursor.js";
import { GgufFormatError, limits, openGguf } from "../src/index.js";
import { errorOf } from "./inspect.js";
import { key, start, type TensorFields, tensor, zeros } from "./raw-header.js";

interface Malformed {
  readonly what: string;
  readonly field: string;
  readonly value?: string | number;
  /** Calls `mark` where the offending value begins. */
  readonly write: (writer: ByteWriter, mark: () => void) => void;
}

const u8 = 0;
const string = 8;
const array = 9;

function oneTensor(
  what: string,
  field: string,
  at: Parameters<typeof tensor>[2],
  fields: TensorFields,
  value?: string | number,
): Malformed {
  const write: Malformed["write"] = (writer, mark) => {
    start(writer, { tensors: 1 });
    tensor(writer, fields, at, mark);
    writer.pad(32);
    zeros(writer, 64);
  };
  return { what, field: `tensors[${fields.name ?? "w"}].${field}`, write, ...(value !== undefined && { value }) };
}

const cases: readonly Malformed[] = [
  { what: "an empty file", field: "magic", value: 0, write: (_, mark) => mark() },
  {
    what: "a file of three bytes",
    field: "magic",
    value: 3,
    write: (w, mark) => {
      mark();
      zeros(w, 3);
    },
  },
  {
    what: "another magic",
    field: "magic",
    value: '"GGML"',
    write: (w, mark) => {
      mark();
      start(w, { magic: "GGML" });
    },
  },
  {
    what: "a Git LFS pointer",
    field: "magic",
    value: '"vers"',
    write: (w, mark) => {
      mark();
      w.bytes(new TextEncoder().encode("version https://git-lfs"));
    },
  },
  ...[0, 1, 4].map(
    (version): Malformed => ({ what: `version ${version}`, field: "version", value: version, write: (w) => start(w, { version }) }),
  ),
  { what: "a big endian file", field: "version", value: 0x03000000, write: (w) => start(w, { version: 0x03000000 }) },
  {
    what: "a negative tensor count",
    field: "tensorCount",
    value: "18446744073709551615",
    write: (w) => start(w, { tensors: 2n ** 64n - 1n }),
  },
  { what: "an absurd tensor count", field: "tensorCount", value: 1e12, write: (w) => start(w, { tensors: 1e12 }) },
  { what: "a tensor count that the file cannot hold", field: "tensorCount", value: 100_000, write: (w) => start(w, { tensors: 100_000 }) },
  { what: "an absurd metadata count", field: "metadataCount", value: 2 ** 40, write: (w) => start(w, { metadata: 2 ** 40 }) },
  {
    what: "a metadata count that the file cannot hold",
    field: "metadataCount",
    value: 9,
    write: (w) => {
      start(w, { metadata: 9 });
      zeros(w, 99);
    },
  },
  {
    what: "an empty key",
    field: "metadata[0].key",
    write: (w, mark) => {
      start(w, { metadata: 1 });
      mark();
      key(w, "", u8);
      zeros(w, 9);
    },
  },
  {
    what: "a key longer than allowed",
    field: "metadata[0].key",
    value: 65_536,
    write: (w, mark) => {
      start(w, { metadata: 1 });
      mark();
      key(w, "k".repeat(65_536), u8);
      w.u8(1);
    },
  },
  {
    what: "a key longer than the file",
    field: "metadata[0].key",
    value: 1000,
    write: (w, mark) => {
      start(w, { metadata: 1 });
      mark();
      w.u64(1000);
      zeros(w, 30);
    },
  },
  {
    what: "a key that is not UTF-8",
    field: "metadata[0].key",
    value: "61ff",
    write: (w, mark) => {
      start(w, { metadata: 1 });
      w.u64(2);
      mark();
      w.bytes(Uint8Array.of(0x61, 0xff));
      w.u32(u8);
      w.u8(1);
    },
  },
  {
    what: "a repeated key",
    field: "metadata[1].key",
    value: "a",
    write: (w, mark) => {
      start(w, { metadata: 2 });
      key(w, "a", u8);
      w.u8(1);
      mark();
      key(w, "a", u8);
      w.u8(1);
    },
  },
  {
    what: "an unknown value type",
    field: "metadata[a].type",
    value: 13,
    write: (w, mark) => {
      start(w, { metadata: 1 });
      w.string("a");
      mark();
      w.u32(13);
      zeros(w, 8);
    },
  },
  {
    what: "a bool of 2",
    field: "metadata[a].value",
    value: 2,
    write: (w, mark) => {
      start(w, { metadata: 1 });
      key(w, "a", 7);
      mark();
      w.u8(2);
    },
  },
  {
    what: "a string longer than the file",
    field: "metadata[a].value",
    value: 50,
    write: (w, mark) => {
      start(w, { metadata: 1 });
      key(w, "a", string);
      mark();
      w.u64(50);
      zeros(w, 49);
    },
  },
  {
    what: "a string longer than allowed",
    field: "metadata[a].value",
    value: limits.stringBytes + 1,
    write: (w, mark) => {
      start(w, { metadata: 1 });
      key(w, "a", string);
      mark();
      w.u64(limits.stringBytes + 1);
    },
  },
  {
    what: "an array of an unknown type",
    field: "metadata[a].elementType",
    value: 99,
    write: (w, mark) => {
      start(w, { metadata: 1 });
      key(w, "a", array);
      mark();
      w.u32(99);
      w.u64(0);
    },
  },
  {
    what: "an array longer than allowed",
    field: "metadata[a].length",
    value: 2 ** 30,
    write: (w, mark) => {
      start(w, { metadata: 1 });
      key(w, "a", array);
      w.u32(u8);
      mark();
      w.u64(2 ** 30);
    },
  },
  ...[u8, 5, string, array, 12].map(
    (elementType): Malformed => ({
      what: `an array of type ${elementType} longer than the file`,
      field: "metadata[a].length",
      value: 101,
      write: (w, mark) => {
        start(w, { metadata: 1 });
        key(w, "a", array);
        w.u32(elementType);
        mark();
        w.u64(101);
        zeros(w, 100);
      },
    }),
  ),
  {
    what: "a string in an array longer than the file",
    field: "metadata[a].value",
    value: 500,
    write: (w, mark) => {
      start(w, { metadata: 1 });
      key(w, "a", array);
      w.u32(string);
      w.u64(2);
      w.string("x");
      mark();
      w.u64(500);
      zeros(w, 9);
    },
  },
  {
    what: "arrays nested too deep",
    field: "metadata[a].type",
    value: limits.arrayDepth + 1,
    write: (w, mark) => {
      start(w, { metadata: 1 });
      key(w, "a", array);
      for (let depth = 0; depth < limits.arrayDepth; depth++) {
        w.u32(array);
        w.u64(1);
      }
      mark();
      w.u32(u8);
      w.u64(0);
    },
  },
  ...[0, 3, 24, 2 ** 21].map(
    (alignment): Malformed => ({
      what: `an alignment of ${alignment}`,
      field: "metadata[general.alignment].value",
      value: String(alignment),
      write: (w, mark) => {
        start(w, { metadata: 1 });
        key(w, "general.alignment", 4);
        mark();
        w.u32(alignment);
      },
    }),
  ),
  {
    what: "an alignment that is a string",
    field: "metadata[general.alignment].value",
    value: "wide",
    write: (w, mark) => {
      start(w, { metadata: 1 });
      key(w, "general.alignment", string);
      mark();
      w.string("wide");
    },
  },
  {
    what: "an empty tensor name",
    field: "tensors[0].name",
    write: (w, mark) => {
      start(w, { tensors: 1 });
      tensor(w, { name: "" }, "name", mark);
      zeros(w, 64);
    },
  },
  {
    what: "a tensor name longer than allowed",
    field: "tensors[0].name",
    value: limits.tensorNameBytes + 1,
    write: (w, mark) => {
      start(w, { tensors: 1 });
      tensor(w, { name: "n".repeat(limits.tensorNameBytes + 1) }, "name", mark);
      zeros(w, 64);
    },
  },
  {
    what: "a tensor name that is not UTF-8",
    field: "tensors[0].name",
    value: "c0",
    write: (w, mark) => {
      start(w, { tensors: 1 });
      w.u64(1);
      mark();
      w.u8(0xc0);
      zeros(w, 64);
    },
  },
  {
    what: "a repeated tensor name",
    field: "tensors[1].name",
    value: "w",
    write: (w, mark) => {
      start(w, { tensors: 2 });
      tensor(w, {});
      tensor(w, { offset: 32 }, "name", mark);
      zeros(w, 99);
    },
  },
  oneTensor("five dimensions", "dimensions", "dimensions", { shape: [1, 1, 1, 1, 1] }, 5),
  oneTensor("an absurd number of dimensions", "dimensions", "dimensions", { shape: new Array(200).fill(1) }, 200),
  oneTensor("a dimension beyond 2^53", "shape", "shape", { shape: [2n ** 60n] }, "1152921504606846976"),
  oneTensor("a product of dimensions that overflows", "shape", "shape", { shape: [2 ** 32, 2 ** 32] }, "4294967296×4294967296"),
  oneTensor("a byte length that overflows", "shape", "shape", { shape: [2 ** 51] }, `${2 ** 51}`),
  oneTensor("a row of half a block", "shape", "shape", { shape: [16, 2], type: 2 }, 16),
  oneTensor("a row that is no whole super-block", "shape", "shape", { shape: [128, 2], type: 12 }, 128),
  ...[4, 5, 31, 33, 36, 38, 41, 2 ** 32 - 1].map((type) => oneTensor(`ggml type ${type}`, "type", "type", { type }, type)),
  oneTensor("a misaligned offset", "offset", "offset", { offset: 16 }, 16),
  oneTensor("an offset past the end", "offset", "offset", { offset: 96 }, 96),
  oneTensor("an offset beyond 2^53", "offset", "offset", { offset: 2n ** 63n }, "9223372036854775808"),
  oneTensor("an offset whose sum with the size overflows", "offset", "offset", { offset: 2 ** 53 - 32 }, 2 ** 53 - 32),
  oneTensor("data that the file ends before", "offset", "offset", { shape: [17] }, 0),
  {
    what: "tensors that share bytes",
    field: "tensors[b].offset",
    value: 0,
    write: (w, mark) => {
      start(w, { tensors: 2 });
      tensor(w, { name: "a" });
      tensor(w, { name: "b" }, "offset", mark);
      zeros(w, 200);
    },
  },
];

/** Fields of the fixed part stand at the same place in every file. */
const fixedOffsets: Readonly<Record<string, number>> = { version: 4, tensorCount: 8, metadataCount: 16 };

describe("a malformed file is refused, with field, value and place", () => {
  it.each(cases)("$what", async ({ field, value, write }) => {
    const writer = new ByteWriter();
    let byteOffset = fixedOffsets[field] ?? -1;
    write(writer, () => {
      byteOffset = writer.byteLength;
    });
    const error = (await errorOf(() => openGguf(new Blob([writer.finish()])))) as GgufFormatError;
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
