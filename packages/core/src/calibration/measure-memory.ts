/** How fast a device reads its memory, as far as its own lists can tell. */
import type { DeviceBench } from "./device-bench.js";
import { rateSamples, type Samples } from "./samples.js";

const copiedBytes = { cpu: 64 * 2 ** 20, gpu: 256 * 2 ** 20 } as const;

/** A copy of more than the caches hold: what it reads and what it writes, together. */
export async function measureMemory(bench: DeviceBench): Promise<Samples> {
  const byteLength = copiedBytes[bench.backend.device.kind];
  const shape = [byteLength / 4];
  const [from, to] = [bench.tensor("f32", shape), bench.tensor("f32", shape)];
  const list = bench.record((encoder) => encoder.copy(to, from));
  return rateSamples(2 * byteLength, await bench.repeat(list, { seconds: 0.15, leastSamples: 5 }));
}
