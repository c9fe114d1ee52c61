/**
 * Measures devices through nothing but their `Backend`: what its encoder records and its lists take. So it measures every backend alike,
 * also one that was slowed down on purpose, and several side by side; each alone, while the others rest.
 */
import {
  type Backend,
  createMemoryLedger,
  type DeviceId,
  type DType,
  InvalidRequestError,
  type MachineDevice,
  type MachineLink,
  type MachineMeasurement,
  type MachineProfile,
  type MemoryLedger,
} from "@thermocline/spec";
import { completeByteRates, completeOperationRates, weightDTypesByUse } from "./derived-rates.js";
import { DeviceBench } from "./device-bench.js";
import { measureAttention } from "./measure-attention.js";
import { measureCommandSeconds } from "./measure-commands.js";
import { measureLink } from "./measure-link.js";
import { measureMemory } from "./measure-memory.js";
import { measureWeights } from "./measure-weights.js";
import type { Samples } from "./samples.js";

export interface CalibrationOptions {
  /** Of the machine, for people. Default: the names of its devices. */
  readonly name?: string;
  /** Weight types, the most important first; those for which there is no time are derived. Default: all, by how common they are. */
  readonly dtypes?: readonly DType[];
  /** After so long no further weight type is begun, but the first of each device. Default: 24,000 for all devices together. */
  readonly timeBudgetMs?: number;
  /** What memory is reserved from; default: a ledger with as much as each device has. About 300 MiB a device are taken, one at a time. */
  readonly ledger?: MemoryLedger;
  /** Measures a device's memory by other means than its lists, in bytes a second, with memory of the ledger. Where it is absent, or answers
   *  nothing, a large copy is timed. A profile never has less than the fastest kernel reached. */
  readonly memoryBandwidth?: (backend: Backend, ledger: MemoryLedger) => Promise<Samples | undefined>;
  /** What runtimes take of their devices before a model is there. */
  readonly contextBytes?: Readonly<Record<DeviceId, number>>;
  /** Threads of CPU backends, which a Backend does not tell. */
  readonly threads?: Readonly<Record<DeviceId, number>>;
  readonly signal?: AbortSignal;
  /** Called before each measurement; `fraction` of the time that all will take. */
  readonly onProgress?: (fraction: number, what: string) => void;
}

const defaultTimeBudgetMs = 24_000;

/**
 * Profile of the machine that these devices are. Nothing else should run meanwhile: the figures are what is left for us.
 * @throws InvalidRequestError without a device, or with two of one id; InsufficientMemoryError where a ledger has no room;
 * DeviceFaultError; the signal's reason. No memory stays allocated.
 */
export async function calibrateBackends(backends: readonly Backend[], options: CalibrationOptions = {}): Promise<MachineProfile> {
  checkBackends(backends);
  for (const backend of backends) typesOf(backend, options);
  const { signal, timeBudgetMs = defaultTimeBudgetMs } = options;
  const ledger = options.ledger ?? createMemoryLedger(Object.fromEntries(backends.map(({ device }) => [device.id, device.totalBytes])));
  const begin = performance.now();
  const measurements: MachineMeasurement[] = [];
  const report = (what: string) => {
    signal?.throwIfAborted();
    options.onProgress?.(Math.min(0.99, (performance.now() - begin) / Math.max(1, timeBudgetMs)), what);
  };

  const links: MachineLink[] = [];
  for (const from of backends)
    for (const to of backends) {
      if (from === to) continue;
      report(`${from.device.id} → ${to.device.id}: hand-overs`);
      using near = new DeviceBench(from, ledger, signal);
      using far = new DeviceBench(to, ledger, signal);
      const { latencySeconds, bytesPerSecond } = await measureLink(near, far);
      const subject = `${from.device.id}→${to.device.id}`;
      measurements.push(measurementOf(subject, "latencySeconds", latencySeconds), measurementOf(subject, "bytesPerSecond", bytesPerSecond));
      links.push({
        from: from.device.id,
        to: to.device.id,
        bytesPerSecond: bytesPerSecond.median,
        latencySeconds: latencySeconds.median,
      });
    }

  const devices: MachineDevice[] = [];
  for (const [index, backend] of backends.entries()) {
    const untilMs = begin + ((index + 1) / backends.length) * timeBudgetMs;
    devices.push(await measureDevice(backend, { ...options, ledger }, untilMs, report, measurements));
  }
  signal?.throwIfAborted();
  options.onProgress?.(1, "done");
  return {
    version: 1,
    name: options.name ?? backends.map(({ device }) => device.name).join("; "),
    source: "measured",
    date: new Date().toISOString(),
    devices,
    links,
    measurements,
  };
}

async function measureDevice(
  backend: Backend,
  { ledger, signal, ...options }: CalibrationOptions & { readonly ledger: MemoryLedger },
  untilMs: number,
  report: (what: string) => void,
  measurements: MachineMeasurement[],
): Promise<MachineDevice> {
  const { id, kind, name, totalBytes } = backend.device;
  const keep = (quantity: string, samples: Samples): number => {
    measurements.push(measurementOf(id, quantity, samples));
    return samples.median;
  };
  async function measure<Result>(what: string, body: (bench: DeviceBench) => Promise<Result>): Promise<Result> {
    report(`${id}: ${what}`);
    using bench = new DeviceBench(backend, ledger, signal);
    return await body(bench);
  }

  report(`${id}: memory`);
  const probed = await options.memoryBandwidth?.(backend, ledger);
  const memory = keep("memoryBytesPerSecond", probed ?? (await measure("memory", measureMemory)));
  const commandSeconds = keep("commandSeconds", await measure("commands", measureCommandSeconds));
  const attention = await measure("attention", (bench) => measureAttention(bench, commandSeconds));
  const kvBytesPerSecond = keep("kvBytesPerSecond", attention.kvBytesPerSecond);
  const attentionOperationsPerSecond = keep("attentionOperationsPerSecond", attention.attentionOperationsPerSecond);

  const byteRates = new Map<DType, number>();
  const operationRates = new Map<DType, number>();
  for (const dtype of typesOf(backend, options)) {
    if (byteRates.size > 0 && performance.now() > untilMs) break;
    const rates = await measure(`${dtype} weights`, (bench) => measureWeights(bench, dtype, commandSeconds));
    byteRates.set(dtype, keep(`weightBytesPerSecond.${dtype}`, rates.weightBytesPerSecond));
    operationRates.set(dtype, keep(`operationsPerSecond.${dtype}`, rates.operationsPerSecond));
  }
  const memoryBytesPerSecond = Math.max(memory, kvBytesPerSecond, ...byteRates.values());
  const threads = options.threads?.[id];
  return {
    id,
    kind,
    backend: backend.traits.kind,
    ...(threads === undefined ? {} : { threads }),
    name,
    memoryBytes: totalBytes,
    memoryBytesPerSecond,
    contextBytes: options.contextBytes?.[id] ?? 0,
    rates: {
      weightBytesPerSecond: completeByteRates(byteRates, memoryBytesPerSecond),
      operationsPerSecond: completeOperationRates(operationRates),
      kvBytesPerSecond,
      attentionOperationsPerSecond,
      commandSeconds,
    },
  };
}

function measurementOf(subject: string, quantity: string, { median, least, most, numSamples }: Samples): MachineMeasurement {
  return { subject, quantity, value: median, least, most, numSamples };
}

/** Weight types to measure on a device. @throws InvalidRequestError where it multiplies with none of them. */
function typesOf({ device, traits }: Backend, { dtypes }: CalibrationOptions): readonly DType[] {
  const supported = (dtypes ?? weightDTypesByUse).filter((dtype) => traits.supports("matmul", dtype));
  if (supported.length > 0) return supported;
  throw new InvalidRequestError("dtypes", dtypes, `${device.id} multiplies with none of these`, "leave dtypes out");
}

function checkBackends(backends: readonly Backend[]): void {
  const ids = backends.map(({ device }) => device.id);
  if (ids.length > 0 && new Set(ids).size === ids.length) return;
  const problem = ids.length === 0 ? "there are none" : `${ids.join(", ")} are not all different`;
  throw new InvalidRequestError("backends", ids, problem, "give backends with ids of their own");
}
