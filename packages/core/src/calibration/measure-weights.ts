/** How fast a device multiplies with weights of one type: with a single token, and with many. */
import { byteLengthOf, type DType, type Tensor } from "@thermocline/spec";
import type { DeviceBench } from "./device-bench.js";
import { rateSamples, type Samples } from "./samples.js";

export interface WeightRates {
  /** Bytes of the file a second. */
  readonly weightBytesPerSecond: Samples;
  readonly operationsPerSecond: Samples;
}

/** Whole blocks of every type, and about a model's hidden size. */
const columns = 4096;
const trialRows = 64;
/** Of matrices as models of some billions of parameters have them. */
const mostRows = 2048;
/** Tokens of a step in which a prompt is read: the engine's usual chunk. */
const prefillTokens = 256;
/** Above the caches of processors, and above those of GPUs; a slow device reads less. */
const streamedBytes = { cpu: 128 * 2 ** 20, gpu: 512 * 2 ** 20 } as const;
/** About; beyond it a slow device gets less to do. */
const longestPassSeconds = 0.08;
/** Streamed in a pass, where that is affordable. */
const leastMatrices = 2;

/**
 * Streams matrices that together lie beyond the caches, one command each, as decoding does; then multiplies some of them with as many tokens
 * as prefill does. `commandSeconds` is taken off for each command, since a step pays it apart.
 */
export async function measureWeights(bench: DeviceBench, dtype: DType, commandSeconds: number): Promise<WeightRates> {
  const { rows, count, prefillRows } = await chooseSizes(bench, dtype);
  const weights: Tensor[] = [];
  for (let index = 0; index < count; index++) weights.push(await bench.weight(dtype, rows, columns));
  const matrixBytes = byteLengthOf(dtype, rows * columns);
  const withoutCommands = (seconds: number, numCommands: number) => Math.max(seconds - numCommands * commandSeconds, seconds / 2);

  const x = bench.floats([1, columns], activation);
  const out = bench.tensor("f32", [1, rows]);
  const workspace = bench.workspace(dtype, 1, columns);
  const decode = bench.record((encoder) => {
    for (const weight of weights) encoder.matmul(out, x, weight, workspace);
  });
  const decodeSeconds = (await bench.repeat(decode, { seconds: 0.2, leastSamples: 5 })).map((seconds) => withoutCommands(seconds, count));

  const numPrefill = 2;
  const prefillWeights: Tensor[] = [];
  for (let index = 0; index < numPrefill; index++) prefillWeights.push(await bench.weight(dtype, prefillRows, columns));
  const tokens = bench.floats([prefillTokens, columns], activation);
  const outputs = bench.tensor("f32", [prefillTokens, prefillRows]);
  const prefillWorkspace = bench.workspace(dtype, prefillTokens, columns);
  const prefill = bench.record((encoder) => {
    for (const weight of prefillWeights) encoder.matmul(outputs, tokens, weight, prefillWorkspace);
  });
  const prefillSeconds = await bench.repeat(prefill, { seconds: 0.15 });
  return {
    weightBytesPerSecond: rateSamples(count * matrixBytes, decodeSeconds),
    operationsPerSecond: rateSamples(numPrefill * 2 * prefillTokens * prefillRows * columns, prefillSeconds),
  };
}

/**
 * From a first small product: sizes that keep one pass short on slow devices. Matrices that are streamed stay as large as a pass allows, since
 * the beginnings of small ones take a fifth of the speed; with many tokens fewer rows do.
 */
async function chooseSizes(
  bench: DeviceBench,
  dtype: DType,
): Promise<{ readonly rows: number; readonly count: number; readonly prefillRows: number }> {
  const weight = await bench.weight(dtype, trialRows, columns);
  const x = bench.floats([1, columns], activation);
  const out = bench.tensor("f32", [1, trialRows]);
  const workspace = bench.workspace(dtype, 1, columns);
  const list = bench.record((encoder) => encoder.matmul(out, x, weight, workspace));
  const seconds = Math.min(...(await bench.repeat(list, { seconds: 0.005 })));
  const passElements = (longestPassSeconds * trialRows * columns) / seconds;
  const rowsWithin = (elements: number) => {
    const affordable = 2 ** Math.floor(Math.log2(Math.max(1, elements / columns)));
    return Math.min(mostRows, Math.max(trialRows, affordable));
  };
  const rows = rowsWithin(passElements / leastMatrices);
  const { device } = bench.backend;
  const matrixBytes = weight.buffer.byteLength * (rows / trialRows);
  const passMatrices = Math.min(streamedBytes[device.kind] / matrixBytes, Math.max(leastMatrices, passElements / (rows * columns)));
  return { rows, count: Math.max(1, Math.ceil(passMatrices)), prefillRows: rowsWithin(passElements / prefillTokens) };
}

/** Between -1 and 1, the same at every run. */
export function activation(index: number): number {
  return Math.sin(index * 12.9898);
}
