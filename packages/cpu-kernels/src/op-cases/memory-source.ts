import type { ModelSource, TensorInfo } from "@thermocline/spec";
import type { WeightPlan } from "./op-case.js";

/** A model of a few tensors that lies in memory, one after the other at odd offsets. */
export function createMemorySource(weights: Readonly<Record<string, WeightPlan>>): ModelSource {
  const tensors = new Map<string, TensorInfo>();
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let offset = 0;
  for (const [name, { dtype, shape, bytes }] of Object.entries(weights)) {
    parts.push(new Uint8Array(3), new Uint8Array(bytes));
    tensors.set(name, { name, dtype, shape, shard: 0, range: { offset: offset + 3, byteLength: bytes.byteLength } });
    offset += 3 + bytes.byteLength;
  }
  const blob = new Blob(parts);
  return {
    metadata: new Map(),
    tensors,
    shards: [{ kind: "blob", blob }],
    async read(_shard, range, options) {
      options?.signal?.throwIfAborted();
      return new Uint8Array(await blob.slice(range.offset, range.offset + range.byteLength).arrayBuffer());
    },
    identity: "memory",
    async [Symbol.asyncDispose]() {},
  };
}
