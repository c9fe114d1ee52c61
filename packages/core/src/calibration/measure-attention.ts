/** How fast a device reads keys and values for one token, and multiplies with them for many. */
import { byteLengthOf, type Tensor } from "@thermocline/spec";
import type { DeviceBench } from "./device-bench.js";
import { activation } from "./measure-weights.js";
import { rateSamples, type Samples } from "./samples.js";

export interface AttentionRates {
  readonly kvBytesPerSecond: Samples;
  readonly attentionOperationsPerSecond: Samples;
}

/** As in models of some billions of parameters: four query heads share a head of keys and values. */
const numHeads = 32;
const numKvHeads = 8;
const headDim = 128;
/** Positions of one block of the cache, as the engine has them. */
const blockSize = 32;
const depth = 2048;
const numBlocks = depth / blockSize;
const mostLayers = 12;
const mostQueries = 256;
/** About; beyond it a slow device gets less to do. */
const longestPassSeconds = 0.08;

/** In caches of the device's own default type: the model of time knows one rate for all types. */
export async function measureAttention(bench: DeviceBench, commandSeconds: number): Promise<AttentionRates> {
  const dtype = bench.backend.traits.kvDTypes[0]!;
  const cache = () => bench.tensor(dtype, [numBlocks, numKvHeads, blockSize, headDim]);
  const blockTables = bench.integers(
    Array.from({ length: numBlocks }, (_, block) => block),
    [1, numBlocks],
  );
  const contextLengths = bench.integers([depth]);
  const attend = (numQueries: number) => {
    const shape = [numQueries, numHeads, headDim];
    return { q: bench.floats(shape, activation), out: bench.tensor("f32", shape), queryStarts: bench.integers([0, numQueries]) };
  };
  type Layer = { readonly keyCache: Tensor; readonly valueCache: Tensor };
  const record = (layers: readonly Layer[], { q, out, queryStarts }: ReturnType<typeof attend>) =>
    bench.record((encoder) => {
      for (const layer of layers)
        encoder.attention(out, q, { ...layer, blockTables, contextLengths, queryStarts, scale: 1 / Math.sqrt(headDim) });
    });
  const newLayer = (): Layer => ({ keyCache: cache(), valueCache: cache() });

  const first = newLayer();
  const one = attend(1);
  const trialSeconds = Math.min(...(await bench.repeat(record([first], one), { seconds: 0.005 })));
  const numLayers = Math.min(mostLayers, Math.max(1, Math.floor(longestPassSeconds / trialSeconds)));
  const layers = [first, ...Array.from({ length: numLayers - 1 }, newLayer)];
  const decodeSeconds = await bench.repeat(record(layers, one), { seconds: 0.2, leastSamples: 5 });
  const readBytes = numLayers * 2 * byteLengthOf(dtype, depth * numKvHeads * headDim);

  const numQueries = Math.min(mostQueries, Math.max(1, Math.floor(longestPassSeconds / trialSeconds)));
  const prefillSeconds = await bench.repeat(record([first], attend(numQueries)), { seconds: 0.2 });
  // The last query sees all positions, each before it one less.
  const meanVisible = depth - (numQueries - 1) / 2;
  const multiplyAdds = numQueries * meanVisible * numHeads * 2 * headDim;
  return {
    kvBytesPerSecond: rateSamples(
      readBytes,
      decodeSeconds.map((seconds) => Math.max(seconds - numLayers * commandSeconds, seconds / 2)),
    ),
    attentionOperationsPerSecond: rateSamples(2 * multiplyAdds, prefillSeconds),
  };
}
