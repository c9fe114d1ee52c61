import { beforeEach, describe, expect, it } from "vitest";
import { type DType, InvalidCommandError, type SampleArgs, type Tensor, UnsupportedOpError } from "../src/index.js";
import { createBuffer, RecordingEncoder, tensor } from "./operands.js";

let encoder: RecordingEncoder;
beforeEach(() => {
  encoder = new RecordingEncoder();
});

const refusal = (op: string, field: string) => expect.objectContaining({ code: "invalid-command", op, field });

function thrownBy(record: () => void): unknown {
  try {
    record();
  } catch (error) {
    return error;
  }
  return undefined;
}

const i32 = (...shape: (number | "numTokens" | "numSequences")[]) => tensor(shape, "i32");
const strided = (shape: readonly number[], dtype: DType = "f32") => tensor(shape, dtype, { rowStride: 24 });
const cache = (headDim: number, dtype: "f16" | "f32" = "f16") => tensor([8, 2, 16, headDim], dtype);

describe("an encoder", () => {
  it("keeps commands with the fields of the op table, in order", () => {
    const [out, x, weight] = [tensor(["numTokens", 8]), tensor(["numTokens", 4]), tensor([8, 4], "q8_0")];
    const counters = new Int32Array(new SharedArrayBuffer(64));
    encoder.matmul(out, x, weight);
    encoder.signal({ counters, slot: 0 });
    encoder.wait({ counters, slot: 0 });
    expect(encoder.commands).toEqual([
      { op: "matmul", out, x, weight, bias: undefined, workspace: undefined },
      { op: "signal", signal: { counters, slot: 0 } },
      { op: "wait", signal: { counters, slot: 0 } },
    ]);
    expect(encoder.finish().length).toBe(3);
  });

  it.each<[string, string, () => void]>([
    ["matmul", "x", () => encoder.matmul(tensor([2, 8]), tensor([2, 5]), tensor([8, 4]))],
    ["matmul", "weight", () => encoder.matmul(tensor([2, 8]), tensor([2, 4]), tensor([7, 4]))],
    ["matmul", "bias", () => encoder.matmul(tensor([2, 8]), tensor([2, 4]), tensor([8, 4]), { bias: tensor([4]) })],
    ["matmul", "out", () => encoder.matmul(tensor([8]), tensor([2, 4]), tensor([8, 4]))],
    ["matmul", "x", () => encoder.matmul(tensor(["numTokens", 8]), tensor(["numOutputRows", 4]), tensor([8, 4]))],
    ["embed", "table", () => encoder.embed(tensor([2, 8]), tensor([100, 7]), i32(2))],
    ["gatherRows", "x", () => encoder.gatherRows(tensor([2, 8]), tensor([5, 7]), i32(2))],
    ["rmsNorm", "weight", () => encoder.rmsNorm(tensor([2, 8]), tensor([2, 8]), tensor([7]), 1e-5)],
    ["layerNorm", "bias", () => encoder.layerNorm(tensor([2, 8]), tensor([2, 8]), tensor([8]), tensor([9]), 1e-5)],
    ["rope", "k", () => encoder.rope(tensor([2, 4, 8]), tensor([2, 2, 6]), i32(2), { theta: 1e4, dims: 8, mode: "neox" })],
    ["rope", "dims", () => encoder.rope(tensor([2, 4, 8]), tensor([2, 2, 8]), i32(2), { theta: 1e4, dims: 10, mode: "neox" })],
    ["rope", "dims", () => encoder.rope(tensor([2, 4, 8]), tensor([2, 2, 8]), i32(2), { theta: 1e4, dims: 7, mode: "neox" })],
    ["storeKv", "v", () => encoder.storeKv(tensor([2, 2, 4]), tensor([2, 3, 4]), cache(4), cache(4), i32(2))],
    ["storeKv", "valueCache", () => encoder.storeKv(tensor([2, 2, 4]), tensor([2, 2, 4]), cache(4), cache(5), i32(2))],
    ["attention", "keyCache", () => attention({ keyCache: cache(5) })],
    ["attention", "q", () => attention({ numHeads: 3 })],
    ["attention", "blockTables", () => attention({ blockTables: i32(4, 7) })],
    ["activate", "gate", () => encoder.activate(tensor([2, 8]), tensor([2, 7]), undefined, "silu")],
    ["add", "b", () => encoder.add(tensor([2, 8]), tensor([2, 8]), tensor([1, 8]))],
    ["softcap", "x", () => encoder.softcap(tensor([2, 8]), tensor([8, 2]), 30)],
    ["sample", "params", () => sample({ params: tensor([3, 4]) })],
    ["sample", "randomState", () => sample({ randomState: i32(2, 2) })],
    ["sample", "editValues", () => sample({ editValues: tensor([3, 8]) })],
    ["sample", "surpriseLimits", () => sample({ surpriseLimits: tensor([2]) })],
    ["rmsNorm", "x", () => encoder.rmsNorm(tensor([2, 4, 8]), tensor([2, 3, 8]), tensor([8]), 1e-5)],
    ["routeExperts", "expertIds", () => encoder.routeExperts(i32(2, 9), tensor([2, 9]), tensor([2, 8]), { normalize: true })],
    ["routeExperts", "expertWeights", () => encoder.routeExperts(i32(2, 4), tensor([2, 3]), tensor([2, 8]), { normalize: true })],
    ["expertMatmul", "x", () => expertMatmul(tensor([2, 3, 5]))],
    ["expertMatmul", "x", () => expertMatmul(tensor([2, 2, 4]))],
    ["expertMatmul", "out", () => expertMatmul(tensor([2, 4]), tensor([2, 2, 8]))],
    ["combineExperts", "x", () => encoder.combineExperts(tensor([2, 8]), tensor([2, 2, 8]), tensor([2, 3]))],
    ["meanPool", "x", () => encoder.meanPool(tensor([2, 8]), tensor([9, 7]), i32(3))],
    ["topLogprobs", "logprobs", () => encoder.topLogprobs(i32(2, 3), tensor([2, 4]), tensor([2, 50]), i32(2))],
    ["copy", "to", () => encoder.copy(tensor([2, 8]), tensor([8, 2]))],
  ])("%s: refuses a wrong shape of %s", (op, field, record) => {
    const error = thrownBy(record);
    expect(error).toBeInstanceOf(InvalidCommandError);
    expect(error).toEqual(refusal(op, field));
    expect(encoder.commands).toEqual([]);
  });

  it.each<[string, string, () => void]>([
    ["embed", "tokenIds", () => encoder.embed(tensor([2, 8]), tensor([100, 8]), tensor([2], "f32"))],
    ["add", "a", () => encoder.add(tensor([2, 8]), tensor([2, 8], "f16"), tensor([2, 8]))],
    ["fill", "out", () => encoder.fill(tensor([2, 8], "f16"), 0)],
    ["copy", "to", () => encoder.copy(tensor([2, 8], "f16"), tensor([2, 8]))],
    ["matmul", "workspace", () => matmul({ workspace: tensor([64], "f32") })],
    ["sample", "workspace", () => sample({ workspace: tensor([64], "f32") })],
  ])("%s: refuses a wrong dtype of %s", (op, field, record) => {
    expect(thrownBy(record)).toEqual(refusal(op, field));
  });

  it.each<[string, string, () => void]>([
    ["rmsNorm", "weight", () => encoder.rmsNorm(tensor([2, 8]), tensor([2, 8]), strided([8]), 1e-5)],
    ["layerNorm", "bias", () => encoder.layerNorm(tensor([2, 8]), tensor([2, 8]), tensor([8]), strided([8]), 1e-5)],
    ["matmul", "bias", () => matmul({ bias: strided([8]) })],
    ["embed", "tokenIds", () => encoder.embed(tensor([2, 8]), tensor([100, 8]), strided([2], "i32"))],
    ["rope", "positions", () => rope(strided([2], "i32"), tensor([4]))],
    ["rope", "frequencyFactors", () => rope(i32(2), strided([4]))],
    ["copy", "to", () => encoder.copy(strided([8]), tensor([8]))],
    ["matmul", "workspace", () => matmul({ workspace: strided([64], "i8") })],
  ])("%s: refuses elements of the vector %s that lie apart", (op, field, record) => {
    expect(thrownBy(record)).toEqual(refusal(op, field));
    expect(encoder.commands).toEqual([]);
  });

  it("takes rows of a matrix that lie apart, and vectors whose stride is 1", () => {
    encoder.add(strided([2, 8]), strided([2, 8]), tensor([2, 8]));
    encoder.rmsNorm(tensor([2, 8]), tensor([2, 8]), tensor([8], "f32", { rowStride: 1 }), 1e-5);
    expect(encoder.commands).toHaveLength(2);
  });

  it.each(["matmul", "sample"] as const)("%s: takes a workspace on its own device at a multiple of 64 bytes, and no other", (op) => {
    const record = (workspace: Tensor) => (op === "matmul" ? matmul({ workspace }) : sample({ workspace }));
    record(tensor([64], "i8", { byteOffset: 128 }));
    for (const wrong of [
      tensor([64], "i8", { byteOffset: 32 }),
      tensor([64], "i8", { buffer: createBuffer("cuda:0") }),
      tensor([8, 8], "i8"),
    ])
      expect(thrownBy(() => record(wrong))).toEqual(refusal(op, "workspace"));
    expect(encoder.commands).toHaveLength(1);
  });

  it("norms the heads of a token each for itself", () => {
    encoder.rmsNorm(tensor(["numTokens", 4, 8]), tensor(["numTokens", 4, 8]), tensor([8]), 1e-5);
    expect(encoder.commands).toHaveLength(1);
  });

  it("takes key and value caches of different dtypes, and refuses the one that the backend lacks", () => {
    encoder.storeKv(tensor([2, 2, 4]), tensor([2, 2, 4]), cache(4), cache(4, "f32"), i32(2));
    attention({ valueCache: cache(4, "f32") });
    expect(encoder.commands).toHaveLength(2);
    const limited = new RecordingEncoder((_, dtype) => dtype !== "f32");
    const record = () => limited.storeKv(tensor([2, 2, 4]), tensor([2, 2, 4]), cache(4), cache(4, "f32"), i32(2));
    expect(thrownBy(record)).toMatchObject({ code: "unsupported-op", op: "storeKv", dtype: "f32" });
  });

  it("takes experts' inputs that they share, or one for each", () => {
    expertMatmul(tensor([2, 4]));
    expertMatmul(tensor([2, 3, 4]));
    expect(encoder.commands).toHaveLength(2);
  });

  it("refuses tensors of another device", () => {
    const elsewhere = tensor([2, 8], "f32", { buffer: createBuffer("cuda:0") });
    expect(thrownBy(() => encoder.add(tensor([2, 8]), elsewhere, tensor([2, 8])))).toMatchObject({
      field: "a",
      message: expect.stringContaining("lies on cuda:0, the list is for cpu:0"),
    });
  });

  it("refuses what the backend does not support, with the dtype that decides", () => {
    const limited = new RecordingEncoder((op, dtype) => op === "matmul" && dtype === "f32");
    limited.matmul(tensor([2, 8]), tensor([2, 4]), tensor([8, 4]));
    const error = thrownBy(() => limited.matmul(tensor([2, 8]), tensor([2, 32]), tensor([8, 32], "q4_0")));
    expect(error).toBeInstanceOf(UnsupportedOpError);
    expect(error).toMatchObject({ code: "unsupported-op", device: "cpu:0", op: "matmul", dtype: "q4_0" });
    expect(thrownBy(() => limited.add(tensor([2, 8]), tensor([2, 8]), tensor([2, 8])))).toBeInstanceOf(UnsupportedOpError);
    expect(limited.commands).toHaveLength(1);
  });

  it("records nothing more, and does not finish again, after it was finished", () => {
    encoder.finish();
    expect(() => encoder.finish()).toThrow(/was finished already/);
    expect(() => encoder.fill(tensor([2, 8]), 0)).toThrow(InvalidCommandError);
    expect(encoder.commands).toEqual([]);
  });
});

function attention({ numHeads = 4, keyCache = cache(4), valueCache = cache(4), blockTables = i32(3, 7) }) {
  encoder.attention(tensor([6, numHeads, 4]), tensor([6, numHeads, 4]), {
    keyCache,
    valueCache,
    blockTables,
    contextLengths: i32(3),
    queryStarts: i32(9),
    scale: 0.5,
  });
}

function sample({
  params = tensor([3, 10]),
  randomState = i32(3, 2),
  editIds = i32(3, 8),
  editValues = tensor([3, 16]),
  surpriseLimits = tensor([3]),
  ...workspace
}: Partial<SampleArgs>) {
  encoder.sample(i32(3), tensor([3, 50]), { params, randomState, editIds, editValues, surpriseLimits, ...workspace });
}

function expertMatmul(x: Tensor, out = tensor([2, 3, 8])) {
  encoder.expertMatmul(out, x, tensor([5, 8, 4]), { expertIds: i32(2, 3), expertSlots: i32(8) });
}

function matmul(options: { readonly bias?: Tensor; readonly workspace?: Tensor }) {
  encoder.matmul(tensor([2, 8]), tensor([2, 4]), tensor([8, 4]), options);
}

function rope(positions: Tensor, frequencyFactors: Tensor) {
  encoder.rope(tensor([2, 4, 8]), tensor([2, 2, 8]), positions, { theta: 1e4, dims: 8, mode: "neox", frequencyFactors });
}
