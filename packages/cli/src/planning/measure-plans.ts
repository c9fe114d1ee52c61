/** Plans tried on this machine: what predictions are worth in the end. */
import {
  createMemoryLedger,
  type DeviceId,
  InvalidRequestError,
  type MemoryLedger,
  type OffloadPlan,
  ThermoclineError,
  type Workload,
} from "@thermocline/spec";
import { hostBudgetBytes } from "../host-memory.js";
import { type ModelLocation, type OpenedModel, type OpenOptions, open } from "../open.js";
import { contextLengthFor, type MeasuredSpeed, scaleWorkload, WorkloadMeasurement } from "./measure-workload.js";

export interface MeasurePlansProgress {
  readonly stage: "opening" | "measuring";
  /** Index of the plan. */
  readonly plan: number;
  /** From 0 on; -1 while the context before the prompts is read. */
  readonly round: number;
  readonly numRounds: number;
}

export interface MeasurePlansOptions extends Pick<OpenOptions, "isa" | "threads" | "onNotice"> {
  /** Default: the first plan's. */
  readonly workload?: Workload;
  /** What is measured of it at most. Default: 256 prompt tokens, 32 output tokens, at a depth of 1024, with the whole batch. */
  readonly limits?: Partial<Workload>;
  /** Default 3. */
  readonly rounds?: number;
  /** Bytes of each host device that all plans together may take while they take turns. Default: the host's memory. */
  readonly budgetBytes?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: MeasurePlansProgress) => void;
}

export interface PlanMeasurement extends MeasuredSpeed {
  readonly plan: OffloadPlan;
  /** Of the whole workload at the measured speeds. */
  readonly workloadSeconds: number;
  /** Of each round, in order. */
  readonly rounds: readonly MeasuredSpeed[];
  /** What the plan says of itself, for its own workload. */
  readonly predicted?: OffloadPlan["predicted"];
}

export interface PlanMeasurements {
  readonly workload: Workload;
  /** The part of the workload that was run; speeds are of this. */
  readonly measured: Workload;
  /** Whether the plans took turns, all of them open at once, or memory held only one at a time. */
  readonly takesTurns: boolean;
  /** In the order of the plans. */
  readonly measurements: readonly PlanMeasurement[];
  /** The plan that takes the fewest seconds for the workload. */
  readonly winner: OffloadPlan;
}

const defaultWorkload: Workload = { promptTokens: 256, outputTokens: 128, contextDepth: 0, batch: 1 };
const defaultLimits: Omit<Workload, "batch"> = { promptTokens: 256, outputTokens: 32, contextDepth: 1024 };

/**
 * Opens each plan on this machine and runs a part of the workload, in turns where memory holds all plans at once.
 * @throws InvalidRequestError without a plan, for rounds or a workload that cannot be; BackendUnavailableError for a device that is not
 * here; what `open` throws; the signal's reason. Nothing stays open.
 */
export async function measurePlans(
  location: ModelLocation,
  plans: readonly OffloadPlan[],
  options: MeasurePlansOptions = {},
): Promise<PlanMeasurements> {
  const { rounds = 3 } = options;
  const [firstPlan] = plans;
  if (firstPlan === undefined) throw new InvalidRequestError("plans", plans.length, "is empty", "give at least one plan");
  checkCount("rounds", rounds, 1);
  const workload = options.workload ?? firstPlan.workload ?? defaultWorkload;
  checkWorkload(workload);
  const limits = { ...defaultLimits, batch: workload.batch, ...options.limits };
  checkWorkload(limits);
  const contextLength = Math.min(...plans.map(({ settings }) => settings?.contextLength ?? Number.POSITIVE_INFINITY));
  const measured = scaleWorkload(workload, limits, contextLength);
  const trial: Trial = { location, plans, measured, rounds, options };
  const inTurns = await measureInTurns(trial);
  const speeds = inTurns ?? (await measureApart(trial));
  const measurements = speeds.map((ofPlan, index) => summarize(plans[index]!, ofPlan, workload));
  const winner = measurements.reduce((best, next) => (next.workloadSeconds < best.workloadSeconds ? next : best));
  return { workload, measured, takesTurns: inTurns !== undefined, measurements, winner: winner.plan };
}

interface Trial {
  readonly location: ModelLocation;
  readonly plans: readonly OffloadPlan[];
  readonly measured: Workload;
  readonly rounds: number;
  readonly options: MeasurePlansOptions;
}

/** For each plan its rounds; undefined where memory holds one plan but not all of them. */
async function measureInTurns(trial: Trial): Promise<readonly (readonly MeasuredSpeed[])[] | undefined> {
  const models: OpenedModel[] = [];
  const disposeAll = async () => {
    for (const model of models.splice(0)) await model[Symbol.asyncDispose]();
  };
  // One ledger for all: it bounds what they take of the host together.
  const ledger = createMemoryLedger();
  try {
    for (const index of trial.plans.keys()) models.push(await openPlan(trial, index, ledger));
    const measurements = models.map((model) => new WorkloadMeasurement(model, model.config.vocabSize, trial.measured));
    const speeds: MeasuredSpeed[][] = models.map(() => []);
    for (let round = -1; round < trial.rounds; round++) {
      for (const [index, measurement] of measurements.entries()) speeds[index]!.push(...(await runRound(trial, measurement, index, round)));
    }
    return speeds;
  } catch (error) {
    const isMemory = ThermoclineError.isInstance(error) && error.code === "insufficient-memory";
    if (isMemory && models.length > 0) return undefined;
    throw error;
  } finally {
    await disposeAll();
  }
}

async function measureApart(trial: Trial): Promise<readonly (readonly MeasuredSpeed[])[]> {
  const speeds: MeasuredSpeed[][] = [];
  for (const index of trial.plans.keys()) {
    const model = await openPlan(trial, index);
    try {
      const measurement = new WorkloadMeasurement(model, model.config.vocabSize, trial.measured);
      const rounds: MeasuredSpeed[] = [];
      for (let round = -1; round < trial.rounds; round++) rounds.push(...(await runRound(trial, measurement, index, round)));
      speeds.push(rounds);
    } finally {
      await model[Symbol.asyncDispose]();
    }
  }
  return speeds;
}

/** Round -1 warms up and gives nothing. */
async function runRound(trial: Trial, measurement: WorkloadMeasurement, plan: number, round: number): Promise<MeasuredSpeed[]> {
  const { signal, onProgress } = trial.options;
  onProgress?.({ stage: "measuring", plan, round, numRounds: trial.rounds });
  if (round >= 0) return [await measurement.run(round, signal)];
  await measurement.prepare(signal);
  return [];
}

/** With a ledger that plans share, the host's devices are bounded by the host alone, or budgets for one plan would refuse the second. */
function openPlan({ location, plans, measured, rounds, options }: Trial, index: number, shared?: MemoryLedger): Promise<OpenedModel> {
  const { isa, threads, onNotice, signal, onProgress } = options;
  const plan = plans[index]!;
  onProgress?.({ stage: "opening", plan: index, round: -1, numRounds: rounds });
  const host = Object.entries(plan.devices).filter(([, { backend }]) => hostBackends.has(backend));
  const bytes = options.budgetBytes ?? hostBudgetBytes();
  const budgetBytes: Record<DeviceId, number> = Object.fromEntries(host.map(([id]) => [id, bytes]));
  return open(location, {
    plan,
    contextLength: plan.settings?.contextLength ?? contextLengthFor(measured),
    maxSequences: plan.settings?.maxSequences ?? measured.batch,
    ...(shared && { ledger: shared, budgetBytes }),
    ...(isa && { isa }),
    ...(threads !== undefined && { threads }),
    ...(onNotice && { onNotice }),
    ...(signal && { signal }),
  });
}

/** Backends that compute from the host's memory. */
const hostBackends: ReadonlySet<string> = new Set(["cpu", "reference"]);

function summarize(plan: OffloadPlan, rounds: readonly MeasuredSpeed[], { promptTokens, outputTokens, batch }: Workload): PlanMeasurement {
  const prefillTokensPerSecond = median(rounds.map((round) => round.prefillTokensPerSecond));
  const decodeTokensPerSecond = median(rounds.map((round) => round.decodeTokensPerSecond));
  const workloadSeconds = (batch * promptTokens) / prefillTokensPerSecond + (batch * outputTokens) / decodeTokensPerSecond;
  const predicted = plan.predicted && { predicted: plan.predicted };
  return { plan, prefillTokensPerSecond, decodeTokensPerSecond, workloadSeconds, rounds, ...predicted };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

function checkWorkload({ promptTokens, outputTokens, contextDepth, batch }: Workload): void {
  checkCount("workload.promptTokens", promptTokens, 0);
  checkCount("workload.outputTokens", outputTokens, 0);
  checkCount("workload.contextDepth", contextDepth, 0);
  checkCount("workload.batch", batch, 1);
}

function checkCount(name: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new InvalidRequestError(name, value, `is ${value}`, `give a whole number from ${least} on`);
}
