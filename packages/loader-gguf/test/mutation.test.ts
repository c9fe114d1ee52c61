import { ThermoclineError } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { buildGguf, GgufFormatError, openGguf } from "../src/index.js";
import { createRandom, errorOf } from "./inspect.js";

const whole = buildGguf({
  metadata: [
    ["general.architecture", "llama"],
    ["general.alignment", { type: "u32", value: 32 }],
    ["llama.block_count", { type: "u32", value: 2 }],
    ["llama.rope.freq_base", { type: "f32", value: 10000 }],
    ["flags", [true, false, true]],
    ["nested", [["a", "b"], Int32Array.of(1, 2), [[Uint8Array.of(1)]]]],
    ["tokenizer.ggml.model", "llama"],
    ["tokenizer.ggml.tokens", ["<unk>", "<s>", "</s>", "▁the", "cat"]],
    ["tokenizer.ggml.token_type", Int32Array.of(2, 3, 3, 1, 1)],
    ["tokenizer.ggml.scores", Float32Array.of(0, 0, 0, -1, -2)],
    ["tokenizer.ggml.bos_token_id", { type: "u32", value: 1 }],
    ["split.count", { type: "u16", value: 1 }],
    ["split.no", { type: "u16", value: 0 }],
  ],
  tensors: [
    { name: "token_embd.weight", dtype: "q8_0", shape: [5, 32], data: new Uint8Array(5 * 34) },
    { name: "output_norm.weight", dtype: "f32", shape: [32], data: new Uint8Array(128) },
  ],
});

/** 32-bit values at which counts, lengths and types go wrong. */
const awkward = [0, 1, 9, 32, 0x7f, 0xff, 0x7fffffff, 0x80000000, 0xffffffff];

describe("a damaged file", () => {
  it("that ends early is refused wherever it ends", async () => {
    // The last tensor needs no padding after it, so everything is needed.
    for (let byteLength = 0; byteLength < whole.length; byteLength++) {
      const error = await errorOf(() => openGguf(new Blob([whole.subarray(0, byteLength)])));
      expect(error, `after ${byteLength} bytes`).toBeInstanceOf(GgufFormatError);
    }
    await expect(openGguf(new Blob([whole]))).resolves.toBeDefined();
  });

  it("opens or is refused with one of our errors, whatever was changed", async () => {
    const random = createRandom(0x2545f491);
    const outcomes = { opened: 0, refused: 0 };
    for (let round = 0; round < 4000; round++) {
      const bytes = whole.slice();
      const view = new DataView(bytes.buffer);
      const numChanges = 1 + random(3);
      for (let change = 0; change < numChanges; change++) {
        const place = random(bytes.length - 400);
        const kind = random(4);
        if (kind === 0) bytes[place] = random(256);
        else if (kind === 1) bytes[place]! ^= 1 << random(8);
        else if (kind === 2) view.setUint32(place, awkward[random(awkward.length)]!, true);
        else bytes.copyWithin(place, random(bytes.length - 400), place + random(32));
      }
      try {
        const source = await openGguf(new Blob([bytes]));
        for (const { range } of source.tensors.values()) expect(range.offset + range.byteLength).toBeLessThanOrEqual(bytes.length);
        outcomes.opened++;
      } catch (error) {
        if (!ThermoclineError.isInstance(error)) throw new Error(`round ${round}: ${error}`, { cause: error });
        outcomes.refused++;
      }
    }
    // Both must happen often, or the changes were too weak or too strong to say anything.
    expect(outcomes.opened).toBeGreaterThan(400);
    expect(outcomes.refused).toBeGreaterThan(400);
  }, 30_000);
});
