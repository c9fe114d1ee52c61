/** One step that turns whole texts into vectors: fills the inputs, submits a list to each device, awaits them once. */
import type { Backend, CommandList, DeviceId, Pooling, StepBindings, Submission, SubmissionOutcome } from "@thermocline/spec";
import { bindCommands } from "./graph/bind.js";
import type { ModelGraph } from "./graph/model-graph.js";
import type { StepLimits } from "./graph/step-limits.js";
import { embeddingsRegion, type StepTensors, viewStepTensors } from "./graph/step-tensors.js";
import type { ModelMemory } from "./model-memory.js";

export class EmbeddingRunner implements Disposable {
  readonly #lists = new Map<DeviceId, CommandList>();
  readonly #tensors: StepTensors;
  #submissions: readonly Submission[] = [];
  #step = 0;

  constructor(
    graph: ModelGraph,
    private readonly memory: ModelMemory,
    private readonly backends: ReadonlyMap<DeviceId, Backend>,
    private readonly limits: StepLimits,
    private readonly pooling: Pooling,
    options: { readonly poisonDeadActivations?: boolean } = {},
  ) {
    this.#tensors = viewStepTensors(memory.host, limits);
    for (const [device, { arenas }] of graph.devices) {
      const arena = arenas.get("plain")!;
      const { commands } = graph.plain.encoders.get(device)!;
      const resolve = (region: Parameters<ModelMemory["resolve"]>[1]) => memory.resolve(device, region, arena.offsets);
      this.#lists.set(device, bindCommands(commands, backends.get(device)!, arena, memory.host.counters, resolve, options));
    }
  }

  /** [maxSequences, hiddenSize]: the last step's vectors, in the order of its texts. */
  get vectors(): Float32Array {
    return this.memory.host.float32(embeddingsRegion);
  }

  /** The texts' tokens fit the limits. @throws DeviceFaultError where a command failed; every device has left the step by then. */
  async run(texts: readonly (readonly number[])[]): Promise<SubmissionOutcome> {
    const bindings = this.#fillInputs(texts);
    const submissions: Submission[] = [];
    this.#submissions = submissions;
    try {
      for (const [device, list] of this.#lists) submissions.push(this.backends.get(device)!.submit(list, bindings));
    } catch (error) {
      // A device that got its list would wait for one that did not; and the next step may not touch what a list still reads.
      this.cancel();
      await Promise.allSettled(submissions.map(({ done }) => done));
      throw error;
    }
    const settled = await Promise.allSettled(submissions.map(({ done }) => done));
    this.#submissions = [];
    const failure = settled.find((result) => result.status === "rejected");
    if (failure !== undefined) throw failure.reason;
    const outcomes = settled.flatMap((result) => (result.status === "fulfilled" ? [result.value.outcome] : []));
    return outcomes.find((outcome) => outcome !== "completed") ?? "completed";
  }

  /** Leaves the step that is running, if one is; its `run` resolves as cancelled. */
  cancel(): void {
    for (const submission of this.#submissions) submission.cancel();
  }

  #fillInputs(texts: readonly (readonly number[])[]): StepBindings {
    const { blockSize, maxBlocksPerSequence } = this.limits;
    const { tokenIds, positions, contextLengths, queryStarts, outputRows, kvGroups } = this.#tensors;
    const { slotMapping, blockTables } = kvGroups[0]!;
    let row = 0;
    let nextBlock = 0;
    let maxContextLength = 0;
    texts.forEach((text, index) => {
      queryStarts[index] = row;
      contextLengths[index] = text.length;
      maxContextLength = Math.max(maxContextLength, text.length);
      outputRows[index] = this.pooling === "last" ? row + text.length - 1 : row;
      const numBlocks = Math.ceil(text.length / blockSize);
      for (let block = 0; block < maxBlocksPerSequence; block++)
        blockTables[index * maxBlocksPerSequence + block] = block < numBlocks ? nextBlock + block : -1;
      text.forEach((tokenId, position) => {
        tokenIds[row] = tokenId;
        positions[row] = position;
        slotMapping[row++] = nextBlock * blockSize + position;
      });
      nextBlock += numBlocks;
    });
    queryStarts[texts.length] = row;
    this.#step++;
    return { step: this.#step, numTokens: row, numSequences: texts.length, numOutputRows: texts.length, maxContextLength };
  }

  [Symbol.dispose](): void {
    for (const list of this.#lists.values()) list[Symbol.dispose]();
  }
}
