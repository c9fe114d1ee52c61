/** What a solver is asked, and what it answers: plain data in, plain data out. */
import type { MachineDevice, MachineLink } from "./machine.js";
import type { DeviceId } from "./memory.js";
import type { UnitBytes } from "./memory-demand.js";
import type { OffloadUnit, Placement } from "./offload-unit.js";

/** `batch` requests that run together, each: a prompt, then an answer. */
export interface Workload {
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Tokens that the KV cache already holds of each sequence when its prompt begins. */
  readonly contextDepth: number;
  readonly batch: number;
}

export interface ProblemDevice extends Pick<MachineDevice, "id" | "kind" | "rates"> {
  /** Bytes that units may take; what the device needs beside them is already off. */
  readonly budgetBytes: number;
  /** By unit id; a unit that is missing cannot lie here. */
  readonly units: Readonly<Record<string, UnitBytes>>;
}

/**
 * Seconds of a step of `t` tokens over `s` sequences at depth `d`, which a placement is judged by:
 *
 * - The residual stream begins where the first unit, the embedding, lies, which is whole. A unit that lies whole on a device draws it
 *   there: a hand-over where it was elsewhere. Experts, and the parts of a split unit, leave it where it is: every device other than that gets the input by a hand-over,
 *   computes, and gives a partial sum back by another; the unit takes as long as its slowest device, hand-overs included. Devices without
 *   a link of their own meet by way of those that make it shortest. A unit with a KV cache is not split.
 * - A device's part of a unit takes the sum over dtypes of max(bytes / weightBytesPerSecond, 2 · multiplyAdds / operationsPerSecond), with
 *   bytes = always + p · conditional of its rows, p = 1 − (1 − f)^t for a row of frequency f, and multiplyAdds = t · (elements always read +
 *   f · conditional elements); plus numCommands · commandSeconds. The head sees `s` rows in place of `t`, but is handed
 *   all `t`.
 *   Which conditional rows a token activates is chance, and the mean of the slowest leg is more than the slowest mean: 4 of 16 experts at a
 *   time, 12 of them on a device four times as fast as the other, take a quarter more on average than this says.
 * - Attention also reads s · min(d, window) · kvBytesPerToken and has t · min(d, window) · multiplyAddsPerCachedToken products: the longer of
 *   the two times, by kvBytesPerSecond and attentionOperationsPerSecond; a recurrent state is read once and written once a sequence,
 *   and counts among the bytes read.
 *
 * The workload is batch · promptTokens tokens in n equal chunks of at most `maxBatchTokens`, in which all `batch` sequences advance alike:
 * chunk i, from 0 on, is at the mean depth contextDepth + (i + 1/2) · promptTokens / n of its tokens. Then come outputTokens steps of
 * `batch` tokens at the mean depth of the answer, contextDepth + promptTokens + outputTokens / 2.
 */
export interface OffloadProblem {
  /** In the order in which a token passes them. */
  readonly units: readonly OffloadUnit[];
  readonly devices: readonly ProblemDevice[];
  readonly links: readonly MachineLink[];
  readonly workload: Workload;
  readonly maxBatchTokens: number;
  readonly handOverBytesPerToken: number;
  /** Devices that a unit, or any row of it, may lie on, by unit id: pins and limits of the user; absent: every device that can hold it. */
  readonly allowedDevices: Readonly<Record<string, readonly DeviceId[]>>;
  /** Neurons that are placed together, rounded up to whole blocks. Default 64. Experts are placed one by one. */
  readonly neuronsPerGroup?: number;
}

export interface PredictedTimes {
  /** Of the whole workload: the objective. */
  readonly workloadSeconds: number;
  /** To the first token, of one prompt of the workload alone. */
  readonly prefillSeconds: number;
  /** Of one step of `batch` tokens: the time between two tokens of a sequence. */
  readonly secondsPerToken: number;
}

export type OffloadSolution =
  | {
      /** optimal: within the gap that was asked for. */
      readonly status: "optimal" | "feasible";
      readonly placement: Placement;
      readonly predicted: PredictedTimes;
      /** No placement takes fewer seconds for the workload. */
      readonly boundSeconds: number;
      /** (workloadSeconds − boundSeconds) / workloadSeconds. */
      readonly gap: number;
      /** What kept the solver from doing all that was asked; absent: nothing did. */
      readonly note?: string;
    }
  | {
      readonly status: "infeasible";
      /** More bytes for these devices, all of them together, would make it feasible. */
      readonly missingBytes: Readonly<Record<DeviceId, number>>;
      readonly note?: string;
    };

export interface SolverOptions {
  readonly timeLimitMs?: number;
  /** Relative; a solution within it of the bound is optimal. */
  readonly gap?: number;
  readonly signal?: AbortSignal;
}

export type OffloadSolver = (problem: OffloadProblem, options?: SolverOptions) => Promise<OffloadSolution>;
