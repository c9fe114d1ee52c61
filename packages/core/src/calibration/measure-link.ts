/** What it costs that a tensor changes hands between two devices. */
import { type CommandList, type Encoder, signalSlotStride, type Tensor } from "@thermocline/spec";
import { type DeviceBench, runTogether, type TimedRun } from "./device-bench.js";
import { rateSamples, type Samples, samplesOf } from "./samples.js";

export interface LinkRates {
  readonly latencySeconds: Samples;
  readonly bytesPerSecond: Samples;
}

/** Elements of one token's hidden state. */
const hiddenSize = 2048;
/** Tokens of a step in which a prompt is read. */
const manyTokens = 256;
const roundsOfLatency = 64;
const roundsOfTransfer = 6;

/**
 * `from` writes a payload where both see it and signals; `to` waits, reads it and signals back; so round by round. Latency is half of a
 * round trip with a token's hidden state, the rate follows from how much longer a round with a whole step's hidden states takes.
 */
export async function measureLink(from: DeviceBench, to: DeviceBench): Promise<LinkRates> {
  const rounds = Math.max(roundsOfLatency, roundsOfTransfer) + 1;
  const payloadBytes = manyTokens * hiddenSize * 4;
  const countersBytes = 2 * rounds * signalSlotStride * Int32Array.BYTES_PER_ELEMENT;
  const memory = new SharedArrayBuffer(payloadBytes + countersBytes);
  const counters = new Int32Array(memory, payloadBytes);
  const host = new Uint8Array(memory, 0, payloadBytes);
  const buffers = { from: from.importHost(host), to: to.importHost(host) };
  let lastStep = 0;
  const slot = (index: number) => ({ counters, slot: index * signalSlotStride });

  async function roundTrips(tokens: number, numRounds: number): Promise<readonly number[]> {
    const shape = [tokens, hiddenSize];
    const shared = (end: keyof typeof buffers): Tensor => ({ buffer: buffers[end], byteOffset: 0, dtype: "f32", layout: "plain", shape });
    const near = from.tensor("f32", shape);
    const far = to.tensor("f32", shape);
    const write = (encoder: Encoder) => {
      if (from.backend.traits.readsHostMemory) encoder.fill(shared("from"), 1);
      else encoder.copy(shared("from"), near);
    };
    const lists: CommandList[] = [
      from.record((encoder) => {
        for (let round = 0; round <= numRounds; round++) {
          write(encoder);
          encoder.signal(slot(2 * round));
          encoder.wait(slot(2 * round + 1));
        }
      }),
      to.record((encoder) => {
        for (let round = 0; round <= numRounds; round++) {
          encoder.wait(slot(2 * round));
          encoder.copy(far, shared("to"));
          encoder.signal(slot(2 * round + 1));
        }
      }),
    ];
    const samples: number[] = [];
    for (let sample = 0; sample < 6; sample++) {
      lastStep++;
      const [timed] = await runTogether(
        [
          { bench: from, list: lists[0]! },
          { bench: to, list: lists[1]! },
        ],
        lastStep,
      );
      if (sample > 0) samples.push(secondsAfterFirstRound(timed!, numRounds) / numRounds);
    }
    return samples;
  }

  const small = await roundTrips(1, roundsOfLatency);
  const large = await roundTrips(manyTokens, roundsOfTransfer);
  const smallMedian = samplesOf(small).median;
  const transferSeconds = large.map((seconds) => Math.max(seconds - smallMedian, seconds / 10));
  return {
    latencySeconds: samplesOf(small.map((seconds) => seconds / 2)),
    bytesPerSecond: rateSamples((manyTokens - 1) * hiddenSize * 4, transferSeconds),
  };
}

/** The first round also waits for the other device to begin. Signal and wait of each round end a stretch. */
function secondsAfterFirstRound({ seconds, stretches }: TimedRun, numRounds: number): number {
  if (stretches === undefined) return (seconds * numRounds) / (numRounds + 1);
  return (stretches.at(-1)! - stretches[4]!) / 1000;
}
