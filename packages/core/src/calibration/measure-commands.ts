/** What a command costs beside its work. */
import type { DeviceBench } from "./device-bench.js";
import { activation } from "./measure-weights.js";
import { type Samples, samplesOf } from "./samples.js";

const rounds = 128;
const hiddenSize = 2048;
/** Of a product that is over at once, yet wakes all threads. */
const smallSize = 128;

/** The commands between the large products of a layer: each alone is over in microseconds. */
export async function measureCommandSeconds(bench: DeviceBench): Promise<Samples> {
  const row = () => bench.floats([1, hiddenSize], activation);
  const [x, normed, gate, sum, norm] = [row(), row(), row(), row(), bench.floats([hiddenSize], () => 1)];
  const [small, product] = [bench.floats([1, smallSize], activation), bench.tensor("f32", [1, smallSize])];
  const weight = await bench.weight("f32", smallSize, smallSize);
  const workspace = bench.workspace("f32", 1, smallSize);
  const list = bench.record((encoder) => {
    for (let round = 0; round < rounds; round++) {
      encoder.rmsNorm(normed, x, norm, 1e-5);
      encoder.matmul(product, small, weight, workspace);
      // Every round from the same input: fed back, values would shrink to subnormal numbers, which take twenty times as long.
      encoder.activate(gate, x, normed, "silu");
      encoder.add(sum, normed, gate);
    }
  });
  const samples = await bench.repeat(list, { seconds: 0.1, leastSamples: 5, mostSamples: 25 });
  return samplesOf(samples.map((seconds) => seconds / list.length));
}
