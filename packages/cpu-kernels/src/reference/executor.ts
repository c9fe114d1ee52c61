/** Runs command lists one at a time, in the order of submission, on the JavaScript thread. */
import {
  type Command,
  type CommandOf,
  DeviceFaultError,
  type DeviceId,
  type OpDefinition,
  opTable,
  type StepBindings,
  type StepSignal,
  type Submission,
  type SubmissionOutcome,
  type SubmissionReport,
  type SubmitOptions,
  type Tensor,
} from "@thermocline/spec";
import { monotonicMs, yieldToEventLoop } from "./clock.js";
import { type KernelName, kernels } from "./ops/index.js";
import type { Kernel } from "./ops/kernel.js";
import { giveSignal, poisonSignal, readSignal } from "./step-signal.js";
import { KernelFault, resolveTensor } from "./tensor-view.js";

/** Polls of a wait follow one another for this long; then the thread sleeps a little between them: the device that it waits for may need its core. */
const busyPollMs = 0.1;
const pollIntervalMs = 0.1;

interface RunState {
  readonly commands: readonly Command[];
  readonly bindings: StepBindings;
  readonly options: SubmitOptions;
  cancelled: boolean;
  readonly stretches: number[];
}

export class Executor {
  #tail: Promise<unknown> = Promise.resolve();
  readonly #pending = new Set<RunState>();
  #lastYieldMs = 0;

  constructor(
    private readonly device: DeviceId,
    private readonly yieldEveryMs: number,
  ) {}

  submit(commands: readonly Command[], bindings: StepBindings, options: SubmitOptions): Submission {
    const state: RunState = { commands, bindings, options, cancelled: false, stretches: [] };
    this.#pending.add(state);
    const done = this.enqueue(() => this.#run(state)).finally(() => this.#pending.delete(state));
    // A caller may await several submissions one after the other; a rejection that waits for its turn must not end the process.
    done.catch(() => {});
    const cancel = () => {
      state.cancelled = true;
    };
    return { done, cancel };
  }

  /** Runs `task` after everything that was submitted before. */
  enqueue<T>(task: () => T | Promise<T>): Promise<T> {
    const result = this.#tail.then(task);
    this.#tail = result.catch(() => {});
    return result;
  }

  /** Cancels what runs and what waits, and resolves when all of it has ended. */
  async stop(): Promise<void> {
    for (const state of this.#pending) state.cancelled = true;
    await this.#tail;
  }

  async #run(state: RunState): Promise<SubmissionReport> {
    let outcome: SubmissionOutcome | undefined;
    let index = 0;
    this.#markStretch(state);
    try {
      for (; index < state.commands.length && outcome === undefined; index++) {
        outcome = state.cancelled ? "cancelled" : await this.#execute(state, index);
        if (outcome !== undefined) break;
      }
    } catch (error) {
      throw this.#faultOf(error, state.commands[index]!, index);
    } finally {
      this.#markStretch(state);
      for (const command of state.commands.slice(index)) if (command.op === "signal") poisonSignal(command.signal, state.bindings.step);
    }
    const report = { outcome: outcome ?? "completed" } as const;
    return state.options.trace ? { ...report, stretches: Float64Array.from(state.stretches) } : report;
  }

  /** Undefined when the list goes on. */
  async #execute(state: RunState, index: number): Promise<SubmissionOutcome | undefined> {
    const command = state.commands[index]!;
    if (state.options.faultAtCommand === index) throw new KernelFault("the submission asked for this fault");
    if (command.op === "signal") {
      this.#markStretch(state);
      giveSignal(command.signal, state.bindings.step);
      this.#markStretch(state);
      return undefined;
    }
    if (command.op === "wait") {
      this.#markStretch(state);
      const outcome = await this.#wait(state, command.signal);
      this.#markStretch(state);
      return outcome;
    }
    const pieces = runKernel(command, state.bindings);
    if (pieces !== undefined)
      for (const _ of pieces) {
        await this.#yieldWhenDue();
        if (state.cancelled) return "cancelled";
      }
    await this.#yieldWhenDue();
    return undefined;
  }

  async #wait(state: RunState, signal: StepSignal): Promise<SubmissionOutcome | undefined> {
    const startedMs = monotonicMs();
    for (;;) {
      const found = readSignal(signal, state.bindings.step);
      if (found === "given") return undefined;
      if (found === "poisoned") return "poisoned";
      if (state.cancelled) return "cancelled";
      await yieldToEventLoop();
      this.#lastYieldMs = monotonicMs();
      if (this.#lastYieldMs - startedMs > busyPollMs) sleepOnSignal(signal);
    }
  }

  async #yieldWhenDue(): Promise<void> {
    if (monotonicMs() - this.#lastYieldMs < this.yieldEveryMs) return;
    await yieldToEventLoop();
    this.#lastYieldMs = monotonicMs();
  }

  #markStretch(state: RunState): void {
    if (state.options.trace) state.stretches.push(monotonicMs());
  }

  #faultOf(error: unknown, command: Command, index: number): unknown {
    return error instanceof KernelFault ? new DeviceFaultError(this.device, index, command.op, error.message) : error;
  }
}

/** Leaves the processor to other devices for a moment. A browser's main thread may not sleep and goes on polling. */
function sleepOnSignal({ counters, slot }: StepSignal): void {
  try {
    Atomics.wait(counters, slot, Atomics.load(counters, slot), pollIntervalMs);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
}

function runKernel(command: Exclude<Command, CommandOf<"signal" | "wait">>, bindings: StepBindings): ReturnType<Kernel<KernelName>> {
  const operands: Record<string, unknown> = { ...command };
  for (const [field, kind] of Object.entries((opTable[command.op] as OpDefinition).fields)) {
    const value = operands[field];
    if ((kind === "tensor" || kind === "tensor?") && value !== undefined) operands[field] = resolveTensor(field, value as Tensor, bindings);
  }
  const kernel = kernels[command.op] as (operands: unknown) => ReturnType<Kernel<KernelName>>;
  return kernel(operands);
}
