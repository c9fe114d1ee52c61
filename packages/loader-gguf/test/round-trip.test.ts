import { byteLengthOf, type DType, dtypes } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { buildGguf, type GgufTypedValue, type GgufValue, openGguf, typedMetadata } from "../src/index.js";
import { blobOf, withGguf } from "./inspect.js";

const scalars: readonly [GgufTypedValue["type"], readonly GgufTypedValue["value"][]][] = [
  ["u8", [0, 255]],
  ["i8", [-128, 127]],
  ["u16", [0, 65535]],
  ["i16", [-32768, 32767]],
  ["u32", [0, 4294967295]],
  ["i32", [-2147483648, 2147483647]],
  ["f32", [0, Math.fround(1e-5), Number.POSITIVE_INFINITY, Number.NaN]],
  ["bool", [false, true]],
  ["string", ["", "Grüße, 世界 🌍", "a\0b", "\uFEFFafter a byte order mark"]],
  ["u64", [0, Number.MAX_SAFE_INTEGER, 2n ** 53n, 2n ** 64n - 1n]],
  ["i64", [-1, Number.MIN_SAFE_INTEGER, -(2n ** 63n), 2n ** 63n - 1n]],
  ["f64", [0.1, -0, Number.MIN_VALUE]],
];

const arrays: readonly GgufValue[] = [
  Uint8Array.of(1, 2, 255),
  Int8Array.of(-1, 2),
  Uint16Array.of(65535),
  Int16Array.of(-32768),
  Uint32Array.of(4294967295, 0),
  Int32Array.of(-5),
  Float32Array.of(0.5, -2),
  BigUint64Array.of(2n ** 64n - 1n),
  BigInt64Array.of(-1n),
  Float64Array.of(0.1, 1e300),
  ["", "two", "三", "with\0zero"],
  [true, false],
  [Uint8Array.of(1), Int32Array.of(-2), ["text"], [[false], Float32Array.of(1)]],
];

describe("metadata", () => {
  it.each(scalars)("%s values come back as they were", async (type, values) => {
    const metadata = values.map((value, index): [string, GgufValue] => [`key.${index}`, { type, value }]);
    await withGguf(blobOf({ metadata }), (source) => {
      expect([...source.metadata.values()]).toEqual(values);
      expect(new Set(source.metadataTypes.values())).toEqual(new Set([type]));
    });
  });

  it.each(arrays.map((value) => ({ value })))("array $value comes back as it was", async ({ value }) => {
    await withGguf(blobOf({ metadata: [["key", value]] }), (source) => expect(source.metadata.get("key")).toStrictEqual(value));
  });

  it("keeps the type of an empty array", async () => {
    const types = [...scalars.map(([type]) => `${type}[]`), "array[]"] as GgufTypedValue["type"][];
    const metadata = types.map((type): [string, GgufValue] => [type, { type, value: [] }]);
    await withGguf(blobOf({ metadata }), (source) => {
      expect([...source.metadataTypes.values()]).toEqual(types);
      expect([...source.metadata.values()].map((value) => (value as ArrayLike<unknown>).length)).toEqual(types.map(() => 0));
    });
  });

  it("decodes strings of an array like single ones, whatever their length and neighbours", async () => {
    const strings = [
      "x".repeat(300_000),
      "",
      "\0",
      "\0\0",
      "é".repeat(200_000),
      ...Array.from({ length: 70_000 }, (_, index) => `Ġtoken${index}`),
    ];
    await withGguf(blobOf({ metadata: [["strings", strings]] }), (source) => expect(source.metadata.get("strings")).toEqual(strings));
  });

  it("replaces invalid UTF-8 in values, string by string", async () => {
    const bytes = buildGguf({
      metadata: [
        ["text", "aXb"],
        ["tokens", ["X", "Xb", "c"]],
      ],
      tensors: [],
    });
    for (const [index, byte] of bytes.entries()) if (byte === "X".charCodeAt(0)) bytes[index] = 0xe4;
    await withGguf(new Blob([bytes]), ({ metadata }) => {
      expect(metadata.get("text")).toBe("a\uFFFDb");
      expect(metadata.get("tokens")).toEqual(["\uFFFD", "\uFFFDb", "c"]);
    });
  });

  it("is written again to the same bytes", async () => {
    const metadata: [string, GgufValue][] = [
      ...scalars.flatMap(([type, values]) => values.map((value, index): [string, GgufValue] => [`${type}.${index}`, { type, value }])),
      ...arrays.map((value, index): [string, GgufValue] => [`array.${index}`, value]),
      ["empty", { type: "f32[]", value: [] }],
    ];
    const bytes = buildGguf({ metadata, tensors: [] });
    const again = await withGguf(new Blob([bytes]), (source) => buildGguf({ metadata: typedMetadata(source), tensors: [] }));
    expect(again).toEqual(bytes);
  });
});

describe("tensors", () => {
  const random = (byteLength: number, seed: number) => Uint8Array.from({ length: byteLength }, (_, index) => (index * 31 + seed * 7) & 255);

  it("of every dtype come back with shape, range and bytes", async () => {
    const tensors = (Object.keys(dtypes) as DType[]).map((dtype, index) => {
      const shape = [3, 2 * dtypes[dtype].blockSize];
      return { name: `blk.${index}.${dtype}`, dtype, shape, data: random(byteLengthOf(dtype, shape[0]! * shape[1]!), index) };
    });
    await using source = await openGguf(blobOf({ tensors }));
    expect([...source.tensors.keys()]).toEqual(tensors.map(({ name }) => name));
    for (const { name, dtype, shape, data } of tensors) {
      const info = source.tensors.get(name)!;
      expect(info).toMatchObject({ name, dtype, shape, shard: 0 });
      expect(info.range.offset % 32).toBe(0);
      expect(await source.read(0, info.range)).toEqual(data);
    }
  });

  it("have zero to four dimensions, outermost first, and may be empty", async () => {
    const shapes = [[], [5], [2, 3], [2, 3, 4], [2, 3, 4, 5], [0], [7, 0]];
    const tensors = shapes.map((shape) => {
      const data = random(4 * shape.reduce((product, size) => product * size, 1), shape.length);
      return { name: `t${shape.join("x")}`, dtype: "f32" as const, shape, data };
    });
    await using source = await openGguf(blobOf({ tensors }));
    expect([...source.tensors.values()].map(({ shape }) => shape)).toEqual(shapes);
    for (const { name, data } of tensors) expect(await source.read(0, source.tensors.get(name)!.range)).toEqual(data);
  });

  it("store the innermost dimension first in the file", () => {
    const bytes = buildGguf({ metadata: [], tensors: [{ name: "t", dtype: "i8", shape: [2, 3], data: new Uint8Array(6) }] });
    const view = new DataView(bytes.buffer);
    const firstDimension = 24 + 8 + 1 + 4;
    expect([view.getBigUint64(firstDimension, true), view.getBigUint64(firstDimension + 8, true)]).toEqual([3n, 2n]);
  });

  it.each([8, 64, 4096])("begin at multiples of the alignment %i", async (alignment) => {
    const tensors = ["a", "b"].map((name) => ({ name, dtype: "i8" as const, shape: [1], data: Uint8Array.of(7) }));
    const source = await openGguf(blobOf({ tensors, alignment }));
    expect(source.alignment).toBe(alignment);
    expect(source.metadata.get("general.alignment")).toBe(alignment);
    for (const { range } of source.tensors.values()) {
      expect(range.offset % alignment).toBe(0);
      expect(await source.read(0, range)).toEqual(Uint8Array.of(7));
    }
  });
});

describe("variants", () => {
  const content = {
    metadata: [["general.architecture", "llama"]] as [string, string][],
    tensors: [{ name: "w", dtype: "f32" as const, shape: [2], data: new Uint8Array(8) }],
  };

  it("version 2 differs from 3 in its number only", async () => {
    const [two, three] = [buildGguf({ ...content, version: 2 }), buildGguf(content)];
    expect(two.findIndex((byte, index) => byte !== three[index])).toBe(4);
    await withGguf(new Blob([two]), (source) => {
      expect(source.version).toBe(2);
      expect([...source.tensors.keys()]).toEqual(["w"]);
    });
  });

  it("PowerInfer's magic is known and told apart", async () => {
    await withGguf(blobOf({ ...content, magic: "PWRI" }), (source) =>
      expect([source.magic, source.isPowerInfer, source.tensors.size]).toEqual(["PWRI", true, 1]),
    );
    await withGguf(blobOf(content), (source) => expect([source.magic, source.isPowerInfer]).toEqual(["GGUF", false]));
  });

  it("identity is that of header and size: not of the place, not of the weights", async () => {
    const identityOf = (bytes: Uint8Array<ArrayBuffer>) => withGguf(new Blob([bytes]), ({ identity }) => identity);
    const bytes = buildGguf(content);
    const otherWeights = bytes.slice();
    otherWeights[bytes.length - 30]! ^= 1;
    const longer = new Uint8Array(bytes.length + 1);
    longer.set(bytes);
    const identity = await identityOf(bytes);
    expect(identity).toMatch(/^[0-9a-f]{64}$/);
    expect(await identityOf(otherWeights)).toBe(identity);
    expect(await identityOf(longer)).not.toBe(identity);
    expect(await identityOf(buildGguf({ ...content, metadata: [["general.architecture", "opt"]] }))).not.toBe(identity);
  });
});
