import { describe, expect, it } from "vitest";
import { float16Bits, float16Value } from "../float16.mjs";
import { readOnnxModel } from "../onnx-model.mjs";
import { readSafetensors } from "../safetensors.mjs";

/** Protocol Buffers, by hand: a varint, a number under a field, bytes under a field. */
function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(Math.floor(value / 0x80))];
}
const number = (field: number, value: number) => [...varint(field * 8), ...varint(value)];
const bytes = (field: number, content: readonly number[]) => [...varint(field * 8 + 2), ...varint(content.length), ...content];
const text = (field: number, content: string) => bytes(field, [...new TextEncoder().encode(content)]);
const raw = (values: ArrayBufferView) => bytes(9, [...new Uint8Array(values.buffer)]);

describe("ONNX models", () => {
  it("give their nodes and constants, packed and unpacked", () => {
    const quantized = [
      ...number(1, 2),
      ...number(1, 3),
      ...number(2, 3),
      ...text(8, "w_quantized"),
      ...raw(Int8Array.of(-127, 0, 1, 2, 3, 127)),
    ];
    const scale = [...number(2, 1), ...text(8, "w_scale"), ...raw(Float32Array.of(0.5))];
    const packed = [...bytes(1, [...varint(300), ...varint(1)]), ...number(2, 3), ...text(8, "packed"), ...raw(new Int8Array(300))];
    const zeroPoint = [...number(2, 3), ...number(5, 7), ...text(8, "w_zero_point")];
    const node = [...text(1, "x"), ...text(1, "w_quantized"), ...text(2, "y"), ...text(3, "/layers.0/MatMul"), ...text(4, "MatMulInteger")];
    const graph = [...bytes(1, node), ...[quantized, scale, packed, zeroPoint].flatMap((tensor) => bytes(5, tensor))];
    const { nodes, constants } = readOnnxModel(Uint8Array.from([...number(1, 8), ...bytes(7, graph)]));
    expect(nodes).toMatchObject([{ type: "MatMulInteger", name: "/layers.0/MatMul", inputs: ["x", "w_quantized"], outputs: ["y"] }]);
    expect(constants.get("w_quantized")).toEqual({ name: "w_quantized", shape: [2, 3], values: Int8Array.of(-127, 0, 1, 2, 3, 127) });
    expect(constants.get("w_scale")!.values).toEqual(Float32Array.of(0.5));
    expect(constants.get("packed")!.shape).toEqual([300, 1]);
    expect(constants.get("w_zero_point")!.values).toEqual(Int8Array.of(7));
  });

  it.each([
    ["nothing", []],
    ["a field beyond the end", [...varint(7 * 8 + 2), 200, 1]],
    ["a varint without an end", [0xff, 0xff]],
    ["a wire type that is not in use", [3]],
  ])("are refused where there is %s", (_, content) => {
    expect(() => readOnnxModel(Uint8Array.from(content))).toThrow(/fetch|give an ONNX model/);
  });
});

describe("safetensors", () => {
  const fileOf = (table: object, data: readonly number[]) => {
    const json = new TextEncoder().encode(JSON.stringify(table));
    const file = new Uint8Array(8 + json.length + data.length);
    new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
    file.set(json, 8);
    file.set(data, 8 + json.length);
    return file;
  };

  it("give their tensors by name", () => {
    const tensors = readSafetensors(
      fileOf({ __metadata__: { format: "pt" }, a: { dtype: "F16", shape: [2], data_offsets: [1, 5] } }, [9, 1, 2, 3, 4]),
    );
    expect([...tensors]).toEqual([["a", { dtype: "f16", shape: [2], bytes: Uint8Array.of(1, 2, 3, 4) }]]);
  });

  it("are refused where they are cut off", () => {
    expect(() => readSafetensors(fileOf({ a: { dtype: "F16", shape: [2], data_offsets: [0, 4] } }, [1]))).toThrow(/beyond the end/);
    expect(() => readSafetensors(new Uint8Array(4))).toThrow(/no table/);
  });
});

describe("half precision", () => {
  it("gives back the number of every half", () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = float16Value(bits);
      if (Number.isNaN(value)) expect(bits & 0x7fff).toBeGreaterThan(0x7c00);
      else if (float16Bits(value) !== bits) expect.unreachable(`${bits} became ${value}`);
    }
  });
});
