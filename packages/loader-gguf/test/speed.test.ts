import { describe, expect, it } from "vitest";
import { buildGguf } from "../src/index.js";
import { withGguf } from "./inspect.js";

/** Several times what an ordinary machine takes: a bound on growth, not a measurement. */
const limitMs = 1500;

/** Processor time, as other work may take the machine: the best of three, as the first also compiles. */
async function openingMs(bytes: Uint8Array<ArrayBuffer>, look: Parameters<typeof withGguf>[1]): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < 3; round++) {
    const begin = process.cpuUsage();
    await withGguf(new Blob([bytes]), look);
    const { user, system } = process.cpuUsage(begin);
    times.push((user + system) / 1000);
  }
  return Math.min(...times);
}

describe("opening", () => {
  it("100,000 tensors takes well under a second", async () => {
    const tensors = Array.from({ length: 100_000 }, (_, index) => {
      return {
        name: `blk.${index >> 10}.ffn_down_exps.${index & 1023}.weight`,
        dtype: "f32" as const,
        shape: [2, 4],
        data: new Uint8Array(32),
      };
    });
    const ms = await openingMs(buildGguf({ metadata: [], tensors }), (source) => expect(source.tensors.size).toBe(100_000));
    expect(ms).toBeLessThan(limitMs);
  });

  it("a vocabulary of 256,000 tokens and 500,000 merges takes well under a second", async () => {
    const tokens = Array.from({ length: 256_000 }, (_, index) => `Ġtok${index.toString(36)}`);
    const merges = Array.from({ length: 500_000 }, (_, index) => `Ġt${(index % 977).toString(36)} ${index.toString(36)}`);
    const metadata = [
      ["tokenizer.ggml.model", "gpt2"],
      ["tokenizer.ggml.tokens", tokens],
      ["tokenizer.ggml.token_type", new Int32Array(256_000).fill(1)],
      ["tokenizer.ggml.merges", merges],
    ] as const;
    const ms = await openingMs(buildGguf({ metadata, tensors: [] }), ({ vocabulary }) => {
      expect(vocabulary!.tokens.length).toBe(256_000);
      expect(vocabulary!.tokens[255_999]).toBe(tokens[255_999]);
      expect(vocabulary!.merges![499_999]).toBe(merges[499_999]);
    });
    expect(ms).toBeLessThan(limitMs);
  });
});
