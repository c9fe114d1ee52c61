/** How fast a device reads its memory, as far as its own lists can tell. */
import type { DeviceBench } from "./device-bench.js";
import { rateSamples, type Samples } from "./samples.js";

const copiedBytes = { cpu: 64 * 2 ** 20, gpu: 256 * 2 ** 20 } as const;
const trialBytes = 2 ** 20;
/** About; beyond it a slow device gets less to do. */
const longestPassSeconds = 0.08;

/** A copy of more than the caches hold, where the device is quick enough: what it reads and what it writes, together. */
export async function measureMemory(bench: DeviceBench): Promise<Samples> {
  const trialSeconds = Math.min(...(await copySeconds(bench, trialBytes, { seconds: 0.005 })));
  const affordableBytes = 2 ** Math.floor(Math.log2((longestPassSeconds / trialSeconds) * trialBytes));
  const byteLength = Math.min(copiedBytes[bench.backend.device.kind], Math.max(trialBytes, affordableBytes));
  return rateSamples(2 * byteLength, await copySeconds(bench, byteLength, { seconds: 0.15, leastSamples: 5 }));
}

function copySeconds(bench: DeviceBench, byteLength: number, options: Parameters<DeviceBench["repeat"]>[1]): Promise<readonly number[]> {
  const shape = [byteLength / 4];
  const [from, to] = [bench.tensor("f32", shape), bench.tensor("f32", shape)];
  return bench.repeat(
    bench.record((encoder) => encoder.copy(to, from)),
    options,
  );
}
