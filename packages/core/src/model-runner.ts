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
import type { GraphDraft } from "./graph/graph-draft.js";
import type { GraphVariant, ModelGraph } from "./graph/model-graph.js";
import type { StepLimits } from "./graph/step-limits.js";
import { type StepTensors, scoredLogitsRegion, viewStepTensors } from "./graph/step-tensors.js";
import type { ModelMemory } from "./model-memory.js";
import { OverlapMeter } from "./overlap.js";
import { LogitEdits } from "./sampling/logit-edits.js";
import type { Batch, ScoringStep } from "./scheduling/scheduler.js";
import type { Sequence } from "./scheduling/sequence.js";

export interface StepResult {
  /** "completed", or why the results were discarded. */
  readonly outcome: SubmissionOutcome;
  /** For each sampled sequence of the batch, in its order. */
  readonly tokenIds: readonly number[];
  readonly logprobs?: readonly TokenLogprobs[];
  /** Mirostat's limits for the next step of each of them. */
  readonly surpriseLimits: readonly number[];
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
  readonly #lists: ReadonlyMap<GraphVariant, ReadonlyMap<DeviceId, CommandList>>;
  readonly #tensors: StepTensors;
  readonly #edits: LogitEdits;
  #submissions: readonly Submission[] = [];
  #step = 0;
  #awaits = 0;

  constructor(
    graph: ModelGraph,
    private readonly memory: ModelMemory,
    private readonly backends: ReadonlyMap<DeviceId, Backend>,
    private readonly limits: StepLimits,
    private readonly options: RunnerOptions = {},
  ) {
    this.#tensors = viewStepTensors(memory.host, limits);
    this.#edits = new LogitEdits(limits.maxLogitEdits);
    this.overlap = new OverlapMeter(graph.plain.legs);
    const bind = (variant: GraphVariant, draft: GraphDraft) => {
      const lists = new Map<DeviceId, CommandList>();
      for (const [device, { arenas }] of graph.devices) {
        const { commands } = draft.encoders.get(device)!;
        const arena = arenas.get(variant)!;
        const resolve = (region: Parameters<ModelMemory["resolve"]>[1]) => memory.resolve(device, region, arena.offsets);
        lists.set(device, bindCommands(commands, backends.get(device)!, arena, memory.host.counters, resolve, options));
      }
      return lists;
    };
    this.#lists = new Map([...graph.drafts].map(([variant, draft]) => [variant, bind(variant, draft)]));
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
    const sampled = batch.filter((entry) => entry.sampled).map(({ sequence }) => sequence);
    const variant: GraphVariant = sampled.some(({ options }) => options.withLogprobs) ? "logprobs" : "plain";
    const outcome = await this.#runStep(variant, this.#fillInputs(batch));
    if (outcome !== "completed") return { outcome, tokenIds: [], surpriseLimits: [] };
    return {
      outcome,
      tokenIds: Array.from(this.#tensors.sampledTokenIds.subarray(0, sampled.length)),
      surpriseLimits: Array.from(this.#tensors.surpriseLimits.subarray(0, sampled.length)),
      ...(variant === "logprobs" ? { logprobs: sampled.map((_, row) => this.#logprobsOf(row)) } : {}),
    };
  }

  /** Leaves the logits in `scoredLogits`. @throws DeviceFaultError where a command failed. */
  runScoring(step: ScoringStep): Promise<SubmissionOutcome> {
    return this.#runStep("logits", this.#fillScoringInputs(step));
  }

  /** [maxScoredTokens, vocabSize]: the last scoring step's rows, in the order of its positions. */
  get scoredLogits(): Float32Array {
    return this.memory.host.float32(scoredLogitsRegion);
  }

  async #runStep(variant: GraphVariant, bindings: StepBindings): Promise<SubmissionOutcome> {
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
    if (outcome === "completed" && this.options.trace) this.overlap.add([...this.#lists.get(variant)!.keys()], reports);
    return outcome;
  }

  /** Leaves the step that is running, if one is; its `run` resolves as cancelled. */
  cancel(): void {
    for (const submission of this.#submissions) submission.cancel();
  }

  #submit(variant: GraphVariant, bindings: StepBindings): void {
    const submissions: Submission[] = [];
    this.#submissions = submissions;
    const fault = this.options.faultOfStep?.(bindings.step);
    for (const [device, list] of this.#lists.get(variant)!) {
      const faultHere = fault?.device === device ? { faultAtCommand: fault.commandIndex % list.length } : {};
      const options = { ...(this.options.trace ? { trace: true } : {}), ...faultHere };
      submissions.push(this.backends.get(device)!.submit(list, bindings, options));
    }
  }

  #fillInputs(batch: Batch): StepBindings {
    let token = 0;
    let row = 0;
    let maxContextLength = 0;
    batch.forEach(({ sequence, numTokens, sampled }, index) => {
      maxContextLength = Math.max(maxContextLength, this.#fillSequence(sequence, numTokens, index, token));
      token += numTokens;
      if (!sampled) return;
      this.#tensors.outputRows[row] = token - 1;
      this.#fillSampling(sequence, row++);
    });
    return this.#bindingsOf(token, batch.length, row, maxContextLength);
  }

  #fillScoringInputs({ sequence, numTokens, numScored }: ScoringStep): StepBindings {
    const maxContextLength = this.#fillSequence(sequence, numTokens, 0, 0);
    for (let row = 0; row < numScored; row++) this.#tensors.outputRows[row] = numTokens - numScored + row;
    return this.#bindingsOf(numTokens, 1, numScored, maxContextLength);
  }

  #bindingsOf(numTokens: number, numSequences: number, numOutputRows: number, maxContextLength: number): StepBindings {
    this.#tensors.queryStarts[numSequences] = numTokens;
    this.#step++;
    return { step: this.#step, numTokens, numSequences, numOutputRows, maxContextLength };
  }

  /** The next tokens of a sequence, as the step's sequence `index`, from row `firstRow` on. Returns its context length with them. */
  #fillSequence({ tokenIds, numComputedTokens, blocks }: Sequence, numTokens: number, index: number, firstRow: number): number {
    const tensors = this.#tensors;
    const { blockSize, maxBlocksPerSequence } = this.limits;
    tensors.queryStarts[index] = firstRow;
    for (let offset = 0; offset < numTokens; offset++) {
      tensors.tokenIds[firstRow + offset] = tokenIds[numComputedTokens + offset]!;
      tensors.positions[firstRow + offset] = numComputedTokens + offset;
    }
    tensors.kvGroups.forEach(({ slotMapping, blockTables }, group) => {
      const table = blocks.tables[group]!;
      for (let offset = 0; offset < numTokens; offset++) {
        const position = numComputedTokens + offset;
        slotMapping[firstRow + offset] = table[Math.floor(position / blockSize)]! * blockSize + (position % blockSize);
      }
      blockTables.set(table, index * maxBlocksPerSequence);
      blockTables.fill(-1, index * maxBlocksPerSequence + table.length, (index + 1) * maxBlocksPerSequence);
    });
    tensors.contextLengths[index] = numComputedTokens + numTokens;
    return numComputedTokens + numTokens;
  }

  #fillSampling(sequence: Sequence, row: number): void {
    const { sampling, logitRules = [] } = sequence.options;
    const { maxLogitEdits } = this.limits;
    const tensors = this.#tensors;
    samplingColumns.forEach((column, index) => {
      tensors.samplingParams[row * samplingColumns.length + index] = sampling[column];
    });
    tensors.randomState[row * 2] = sampling.seed;
    tensors.randomState[row * 2 + 1] = sequence.numGeneratedTokens;
    tensors.surpriseLimits[row] = sequence.surpriseLimit;
    const ids = tensors.editIds.subarray(row * maxLogitEdits, (row + 1) * maxLogitEdits);
    ids[0] = -1;
    if (logitRules.length === 0) return;
    this.#edits.clear();
    for (const rule of logitRules) rule.apply(sequence, this.#edits);
    this.#edits.writeTo(ids, tensors.editValues.subarray(2 * row * maxLogitEdits, 2 * (row + 1) * maxLogitEdits));
  }

  #logprobsOf(row: number): TokenLogprobs {
    const columns = this.limits.logprobColumns;
    const ids = this.#tensors.logprobIds.subarray(row * columns, (row + 1) * columns);
    const values = this.#tensors.logprobs.subarray(row * columns, (row + 1) * columns);
    const top = Array.from(ids.subarray(1), (id, index): readonly [number, number] => [id, values[index + 1]!]);
    return { tokenId: ids[0]!, logprob: values[0]!, top };
  }

  [Symbol.dispose](): void {
    for (const lists of this.#lists.values()) for (const list of lists.values()) list[Symbol.dispose]();
  }
}
