import { availableParallelism } from "node:os";
import { listOffloadUnits } from "@thermocline/core";
import type { ReadBandwidth } from "@thermocline/cpu-kernels";
import { InvalidRequestError, ThermoclineError } from "@thermocline/spec";
import { formatBytes } from "../../format-bytes.js";
import { formatTable } from "../../format-table.js";
import type { OpenedModel } from "../../open.js";
import { escapeControls, jsonLine } from "../../terminal-text.js";
import { activeBytesPerToken } from "../benchmark/active-bytes.js";
import { readConditions } from "../benchmark/conditions.js";
import { contextLengthOf, measureSpeed, type Speed, type SpeedRequest } from "../benchmark/measure-speed.js";
import { interruptible } from "../interruption.js";
import { withModel } from "../loaded-model.js";
import { type ModelHeader, readModelHeader } from "../model-header.js";
import type { ModelOptions } from "../options.js";
import { packageVersion } from "../package-manifest.js";
import { createProgressBar } from "../progress-bar.js";
import { writeNotice, writeOutput } from "../standard-streams.js";

export interface BenchOptions extends Omit<ModelOptions, "threads" | "context"> {
  readonly prompt?: number;
  readonly generate?: number;
  readonly depth: number;
  readonly threads?: readonly number[];
  readonly repetitions: number;
}

interface Measurement extends Speed {
  /** Of the CPU backend; absent where a plan says it. */
  readonly threads?: number;
  /** For people, by device: "CPU, AVX-512 VNNI, 2 threads". */
  readonly devices: Readonly<Record<string, string>>;
  readonly decodeBytesPerSecond?: number;
  /** What as many threads read from memory, where one CPU device runs all of the model: the roof of decode. */
  readonly readBandwidth?: ReadBandwidth;
}

const usualPromptTokens = 512;
const usualGenerateTokens = 64;
/** Larger than caches, where the machine has them of a usual size. */
const probeByteLength = 256 * 2 ** 20;
const probeDurationMs = 400;

export async function bench(path: string, options: BenchOptions): Promise<void> {
  await interruptible(async (signal) => {
    const header = await readModelHeader(path, signal);
    const request = requestOf(header, options);
    const conditions = readConditions(packageVersion);
    const activeBytes = activeBytesPerToken(listOffloadUnits(header.source, header.config));
    const measurements: Measurement[] = [];
    let name = "";
    for (const threads of threadCountsOf(options)) {
      const opening = { contextLength: contextLengthOf(request), prefixCache: true };
      const measureOpened = async (model: OpenedModel) => {
        name = model.name;
        return measureModel(model, threads, activeBytes, request, options, signal);
      };
      const measured = await withModel(path, { ...options, threads }, signal, measureOpened, opening);
      signal.throwIfAborted();
      // Once the model's memory is free again.
      const probed = isOneCpu(measured) && threads !== undefined ? { readBandwidth: await probeBandwidth(threads, options) } : {};
      measurements.push({ ...measured, ...probed });
    }
    const { identity } = header.source;
    if (options.json) {
      const { promptTokens, generateTokens, depth, repetitions } = request;
      const model = { name, identity, architecture: header.config.architecture, activeBytesPerToken: activeBytes };
      const asked = { promptTokens, generateTokens, depth, repetitions };
      await writeOutput(`${jsonLine({ ...conditions, model, request: asked, measurements })}\n`);
    } else {
      const { processor, loadAverage } = conditions.machine;
      const lines = [
        `${escapeControls(name)}, ${formatBytes(activeBytes)} of weights a token`,
        `${escapeControls(processor)}, load average ${loadAverage.toFixed(2)} at the start`,
        ...new Set(measurements.flatMap(({ devices }) => Object.entries(devices).map((device) => escapeControls(device.join(": "))))),
      ];
      await writeOutput(`${lines.join("\n")}\n\n${formatMeasurements(measurements)}\n`);
    }
  });
}

/** Usual figures where none were given, or what the model's context holds of them. */
function requestOf({ config: { contextLength } }: ModelHeader, { prompt, generate, depth, repetitions }: BenchOptions): SpeedRequest {
  const room = Math.max(1, contextLength - depth - 1);
  const request = {
    promptTokens: prompt ?? Math.min(usualPromptTokens, room),
    generateTokens: generate ?? Math.min(usualGenerateTokens, Math.max(1, room - 1)),
    depth,
    repetitions,
  };
  if (request.promptTokens === 0 && request.generateTokens === 0)
    throw new InvalidRequestError("--generate", 0, "leaves nothing to measure with --prompt 0", "ask for tokens of one of them");
  const needed = contextLengthOf(request);
  if (needed <= contextLength) return request;
  throw new InvalidRequestError(
    "--depth",
    depth,
    `and the tokens after it take ${needed} tokens of context, the model was trained for ${contextLength}`,
    "lower --depth, --prompt or --generate",
  );
}

/** A plan says how many threads its devices have. */
function threadCountsOf({ threads, plan, backend }: BenchOptions): readonly (number | undefined)[] {
  const isDecided = plan !== undefined || backend === "reference";
  if (isDecided && threads !== undefined)
    throw new InvalidRequestError(
      "--threads",
      threads,
      `is decided by ${plan === undefined ? "the reference backend" : "the plan"}`,
      "leave it out",
    );
  return isDecided ? [undefined] : (threads ?? [availableParallelism()]);
}

async function measureModel(
  model: OpenedModel,
  threads: number | undefined,
  activeBytes: number,
  request: SpeedRequest,
  { json, repetitions }: BenchOptions,
  signal: AbortSignal,
): Promise<Measurement> {
  const bar = process.stderr.isTTY && !json ? createProgressBar(process.stderr, "measuring") : undefined;
  const total = (repetitions + 1) * ((request.promptTokens > 0 ? 1 : 0) + (request.generateTokens > 0 ? 1 : 0));
  let done = 0;
  try {
    const speed = await measureSpeed(model, model.config.vocabSize, request, signal, () => {
      done++;
      bar?.update(done / total, `${done} of ${total}${threads === undefined ? "" : `, ${threads} threads`}`);
    });
    return {
      ...(threads !== undefined && { threads }),
      devices: Object.fromEntries(model.memory().map(({ device, name }) => [device, name])),
      ...speed,
      ...(speed.decode && { decodeBytesPerSecond: speed.decode.tokensPerSecond.median * activeBytes }),
    };
  } finally {
    bar?.clear();
  }
}

function isOneCpu({ devices }: Measurement): boolean {
  const ids = Object.keys(devices);
  return ids.length === 1 && ids[0]!.startsWith("cpu:");
}

/** Undefined, with a notice, where there is no memory left for it. */
async function probeBandwidth(threads: number, { json }: BenchOptions): Promise<ReadBandwidth | undefined> {
  const { measureReadBandwidth } = await import("@thermocline/cpu-kernels");
  try {
    return await measureReadBandwidth({ threads, byteLength: probeByteLength, durationMs: probeDurationMs });
  } catch (error) {
    if (!ThermoclineError.isInstance(error)) throw error;
    writeNotice(json ? jsonLine({ notice: error.message }) : `note: ${escapeControls(error.message)}`);
    return undefined;
  }
}

function formatMeasurements(measurements: readonly Measurement[]): string {
  const header = ["threads", "phase", "tokens", "depth", "tok/s", "least", "most", "GB/s", "of what memory gives"];
  const rows = measurements.flatMap(({ threads, prefill, decode, decodeBytesPerSecond, readBandwidth }) =>
    Object.entries({ prefill, decode }).flatMap(([phase, speed]) => {
      if (speed === undefined) return [];
      const { median, minimum, maximum } = speed.tokensPerSecond;
      const bytes = phase === "decode" ? decodeBytesPerSecond : undefined;
      const share = bytes === undefined || readBandwidth === undefined ? "" : shareText(bytes, readBandwidth.bytesPerSecond);
      const speeds = [median, minimum, maximum].map((tokensPerSecond) => tokensPerSecond.toFixed(1));
      const [tokens, depth] = [speed.tokens, speed.depth].map(String);
      return [[String(threads ?? ""), phase, tokens!, depth!, ...speeds, bytes === undefined ? "" : (bytes / 1e9).toFixed(2), share]];
    }),
  );
  return formatTable([header, ...rows], new Set([0, 2, 3, 4, 5, 6, 7]));
}

function shareText(bytesPerSecond: number, readBytesPerSecond: number): string {
  return `${((bytesPerSecond / readBytesPerSecond) * 100).toFixed(0)} % of ${(readBytesPerSecond / 1e9).toFixed(2)} GB/s`;
}
