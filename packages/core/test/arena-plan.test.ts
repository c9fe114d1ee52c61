import type { Command, Tensor } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { planArena } from "../src/graph/arena-plan.js";
import { DraftBuffer } from "../src/graph/draft-buffer.js";

function activation(id: number, byteLength: number): Tensor {
  const buffer = new DraftBuffer("cpu:0", { kind: "activation", id }, byteLength);
  return { buffer, byteOffset: 0, dtype: "f32", layout: "plain", shape: [1, byteLength / 4] };
}

const add = (out: Tensor, a: Tensor, b: Tensor): Command => ({ op: "add", out, a, b });

describe("activation arena", () => {
  it("reuses the bytes of activations that are dead", () => {
    const [a, b, c, d] = [0, 1, 2, 3].map((id) => activation(id, 256)) as [Tensor, Tensor, Tensor, Tensor];
    const plan = planArena([add(b, a, a), add(c, b, b), add(d, c, c)], 4, 64);
    expect(plan.byteLength).toBe(512);
    expect(plan.lastUses).toEqual([0, 1, 2, 2]);
  });

  it("never lets two live activations share a byte, and needs no more than all of them, over random graphs", () => {
    let state = 99;
    const random = (n: number) => {
      state = (Math.imul(state, 48271) >>> 0) % 0x7fffffff;
      return state % n;
    };
    for (let trial = 0; trial < 100; trial++) {
      const tensors = Array.from({ length: 30 }, (_, id) => activation(id, 4 * (1 + random(100))));
      const commands = Array.from({ length: 40 }, () => add(tensors[random(30)]!, tensors[random(30)]!, tensors[random(30)]!));
      const { offsets, byteLength } = planArena(commands, 30, 64);
      const uses = tensors.map((tensor) => commands.flatMap((command, index) => (Object.values(command).includes(tensor) ? [index] : [])));
      let liveMost = 0;
      for (let index = 0; index < commands.length; index++) {
        const live = tensors.flatMap((tensor, id) => {
          const used = uses[id]!;
          return used.length > 0 && used[0]! <= index && index <= used.at(-1)!
            ? [{ id, end: offsets[id]! + tensor.buffer.byteLength }]
            : [];
        });
        live.sort((a, b) => offsets[a.id]! - offsets[b.id]!);
        for (let next = 1; next < live.length; next++) expect(offsets[live[next]!.id]).toBeGreaterThanOrEqual(live[next - 1]!.end);
        liveMost = Math.max(liveMost, ...live.map(({ end }) => end));
      }
      expect(byteLength).toBeGreaterThanOrEqual(liveMost);
      expect(byteLength).toBeLessThan(liveMost + 64);
    }
  });
});
