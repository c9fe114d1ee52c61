/** One step on the devices: fills the inputs, submits a list to each, awaits them once, reads what was sampled. */
import {
  type Backend,
  type CommandList,
  type DeviceId,
  type StepBindings,
  type Submission,
  type SubmissionOutcome,
  samplingColumns,
  type TokenLogprobs,
} from "@thermocline/spec";
import { bindCommands } from "./graph/bind.js";
import { type GraphVariant, graphVariants, type ModelGraph } from "./graph/model-graph.js";
import type { StepLimits } from "./graph/step-limits.js";
import { type StepTensors, viewStepTensors } from "./graph/step-tensors.js";
import type { ModelMemory } from "./model-memory.js";
import { OverlapMeter } from "./overlap.js";
import type { Batch } from "./scheduling/scheduler.js";

export interface StepResult {
  /** "completed", or why the results were discarded. */
  readonly outcome: SubmissionOutcome;
  /** For each sampled sequence of the batch, in its order. */
  readonly tokenIds: readonly number[];
  readonly logprobs?: readonly TokenLogprobs[];
}

export interface RunnerOptions {
  /** Measure when each part of a split layer ran. */
  readonly trace?: boolean;
  readonly poisonDeadActivations?: boolean;
  /** Chooses a fault to inject into a step, to test what it leaves behind. */
  readonly faultOfStep?: (step: number) => { readonly device: DeviceId; readonly commandIndex: number } | undefined;
}

export class ModelRunner implements Disposable {
  readonly overlap: OverlapMeter;
  readonly #lists: Readonly<Record<GraphVariant, ReadonlyMap<DeviceId, CommandList>>>;
  readonly #tensors: StepTensors;
  #submissions: readonly Submission[] = [];
  #step = 0;
  #awaits = 0;

  constructor(
    graph: ModelGraph,
    memory: ModelMemory,
    private readonly backends: ReadonlyMap<DeviceId, Backend>,
    private readonly limits: StepLimits,
    private readonly options: RunnerOptions = {},
  ) {
    this.#tensors = viewStepTensors(memory.host, limits);
    this.overlap = new OverlapMeter(graph.drafts.plain.legs);
    const bind = (variant: GraphVariant) => {
      const lists = new Map<DeviceId, CommandList>();
      for (const [device, { arenas }] of graph.devices) {
        const { commands } = graph.drafts[variant].encoders.get(device)!;
        const arena = arenas[variant];
        const resolve = (region: Parameters<ModelMemory["resolve"]>[1]) => memory.resolve(device, region, arena.offsets);
        lists.set(device, bindCommands(commands, backends.get(device)!, arena, memory.host.counters, resolve, options));
      }
      return lists;
    };
    this.#lists = { plain: bind("plain"), logprobs: bind("logprobs") };
  }

  get steps(): number {
    return this.#step;
  }

  /** Awaits on devices so far. */
  get awaits(): number {
    return this.#awaits;
  }

  /** @throws DeviceFaultError where a command failed; every device has left the step by then. */
  async run(batch: Batch): Promise<StepResult> {
    const sampled = batch.filter((entry) => entry.sampled);
    const variant: GraphVariant = sampled.some(({ sequence }) => sequence.options.withLogprobs) ? "logprobs" : "plain";
    const bindings = this.#fillInputs(batch);
    try {
      this.#submit(variant, bindings);
    } catch (error) {
      // A device that got its list would wait for one that did not; and the next step may not touch what a list still reads.
      this.cancel();
      await Promise.allSettled(this.#submissions.map((submission) => submission.done));
      this.#submissions = [];
      throw error;
    }
    this.#awaits++;
    const settled = await Promise.allSettled(this.#submissions.map((submission) => submission.done));
    this.#submissions = [];
    const failure = settled.find((result) => result.status === "rejected");
    if (failure !== undefined) throw failure.reason;
    const reports = settled.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    const outcome = reports.find((report) => report.outcome !== "completed")?.outcome ?? "completed";
    if (outcome !== "completed") return { outcome, tokenIds: [] };
    if (this.options.trace) this.overlap.add([...this.#lists[variant].keys()], reports);
    return {
      outcome,
      tokenIds: Array.from(this.#tensors.sampledTokenIds.subarray(0, sampled.length)),
      ...(variant === "logprobs" ? { logprobs: sampled.map((_, row) => this.#logprobsOf(row)) } : {}),
    };
  }

  /** Leaves the step that is running, if one is; its `run` resolves as cancelled. */
  cancel(): void {
    for (const submission of this.#submissions) submission.cancel();
  }

  #submit(variant: GraphVariant, bindings: StepBindings): void {
    const submissions: Submission[] = [];
    this.#submissions = submissions;
    const fault = this.options.faultOfStep?.(bindings.step);
    for (const [device, list] of this.#lists[variant]) {
      const faultHere = fault?.device === device ? { faultAtCommand: fault.commandIndex % list.length } : {};
      const options = { ...(this.options.trace ? { trace: true } : {}), ...faultHere };
      submissions.push(this.backends.get(device)!.submit(list, bindings, options));
    }
  }

  #fillInputs(batch: Batch): StepBindings {
    const tensors = this.#tensors;
    const { blockSize, maxBlocksPerSequence } = this.limits;
    let token = 0;
    let row = 0;
    let maxContextLength = 0;
    batch.forEach(({ sequence, numTokens, sampled }, index) => {
      tensors.queryStarts[index] = token;
      for (let position = sequence.numComputedTokens; position < sequence.numComputedTokens + numTokens; position++, token++) {
        tensors.tokenIds[token] = sequence.tokenIds[position]!;
        tensors.positions[token] = position;
        tensors.slotMapping[token] = sequence.blockTable[Math.floor(position / blockSize)]! * blockSize + (position % blockSize);
      }
      const contextLength = sequence.numComputedTokens + numTokens;
      tensors.contextLengths[index] = contextLength;
      maxContextLength = Math.max(maxContextLength, contextLength);
      const blockTable = tensors.blockTables.subarray(index * maxBlocksPerSequence, (index + 1) * maxBlocksPerSequence).fill(-1);
      blockTable.set(sequence.blockTable);
      if (sampled) {
        tensors.outputRows[row] = token - 1;
        this.#fillSampling(sequence, row++);
      }
    });
    tensors.queryStarts[batch.length] = token;
    this.#step++;
    return { step: this.#step, numTokens: token, numSequences: batch.length, numOutputRows: row, maxContextLength };
  }

  #fillSampling({ options, numGeneratedTokens }: Batch[number]["sequence"], row: number): void {
    samplingColumns.forEach((column, index) => {
      this.#tensors.samplingParams[row * samplingColumns.length + index] = options.sampling[column];
    });
    this.#tensors.randomState[row * 2] = options.sampling.seed;
    this.#tensors.randomState[row * 2 + 1] = numGeneratedTokens;
    this.#tensors.editIds[row * this.limits.maxLogitEdits] = -1;
  }

  #logprobsOf(row: number): TokenLogprobs {
    const columns = this.limits.logprobColumns;
    const ids = this.#tensors.logprobIds.subarray(row * columns, (row + 1) * columns);
    const values = this.#tensors.logprobs.subarray(row * columns, (row + 1) * columns);
    const top = Array.from(ids.subarray(1), (id, index): readonly [number, number] => [id, values[index + 1]!]);
    return { tokenId: ids[0]!, logprob: values[0]!, top };
  }

  [Symbol.dispose](): void {
    for (const variant of graphVariants) for (const list of this.#lists[variant].values()) list[Symbol.dispose]();
  }
}
