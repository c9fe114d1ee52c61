import { readModelConfig } from "@thermocline/core";
import { type GgufSource, openGguf } from "@thermocline/loader-gguf";
import { type ModelConfig, type TensorInfo, ThermoclineError } from "@thermocline/spec";
import { formatBytes } from "../../format-bytes.js";
import { formatTable } from "../../format-table.js";
import { jsonLine } from "../../terminal-text.js";
import { describeConfig, groupLayers } from "../describe-config.js";
import { interruptible } from "../interruption.js";
import { writeOutput } from "../standard-streams.js";

export interface InspectOptions {
  readonly tensors?: boolean;
  readonly json?: boolean;
}

/** Longer arrays are shown as their first elements. */
const shownElements = 8;
const shownCharacters = 100;
/** Decimal digits that tell f32 values of metadata apart well enough for people. */
const f32Digits = 7;

export async function inspect(path: string, { tensors, json }: InspectOptions): Promise<void> {
  await interruptible(async (signal) => {
    const source = await openGguf(path, { signal });
    await source[Symbol.asyncDispose]();
    await writeOutput(json ? `${jsonLine(toJson(source))}\n` : `${toText(source, tensors === true)}\n`);
  });
}

const isArray = (value: unknown): value is ArrayLike<unknown> => Array.isArray(value) || ArrayBuffer.isView(value);

function summarize(source: GgufSource) {
  const { vocabulary } = source;
  const infos = [...source.tensors.values()];
  const parameterCount = infos.reduce((sum, { shape }) => sum + shape.reduce((product, dim) => product * dim, 1), 0);
  return {
    identity: source.identity,
    format: source.isPowerInfer ? "powerinfer-gguf" : "gguf",
    version: source.version,
    shards: source.shards.length,
    fileBytes: source.fileByteLength,
    tensorCount: infos.length,
    parameterCount,
    tensorBytesByDType: bytesByDType(infos),
    ...(vocabulary && {
      vocabulary: {
        model: vocabulary.model,
        ...(vocabulary.pre !== undefined && { pre: vocabulary.pre }),
        size: vocabulary.tokens.length,
        special: vocabulary.special,
        addBos: vocabulary.addBos,
      },
    }),
    hasChatTemplate: source.chatTemplate !== undefined,
  };
}

/** What the graph for this file would compute, or why there is none. */
function configOf(source: GgufSource): ModelConfig | ThermoclineError {
  try {
    return readModelConfig(source);
  } catch (error) {
    if (ThermoclineError.isInstance(error)) return error;
    throw error;
  }
}

function jsonConfigOf(source: GgufSource): Record<string, unknown> {
  const config = configOf(source);
  if (config instanceof Error) return { config: null, refusal: config.toJSON() };
  const layers = groupLayers(config).map((group) => ({ layers: group.layers, ...withShortFactors(group.config) }));
  return { config: { ...config, layers } };
}

function withShortFactors(layer: ModelConfig["layers"][number]): Record<string, unknown> {
  const factors = layer.rope?.frequencyFactors;
  if (factors === undefined || !("values" in factors)) return { ...layer };
  return { ...layer, rope: { ...layer.rope, frequencyFactors: { values: jsonValueOf(factors.values, "f64[]") } } };
}

function bytesByDType(infos: readonly TensorInfo[]): Record<string, number> {
  const bytes: Record<string, number> = {};
  for (const { dtype, range } of infos) bytes[dtype] = (bytes[dtype] ?? 0) + range.byteLength;
  return bytes;
}

function toJson(source: GgufSource): Record<string, unknown> {
  const metadata = Object.fromEntries([...source.metadata].map(([key, value]) => [key, jsonValueOf(value, source.metadataTypes.get(key))]));
  const tensors = [...source.tensors.values()].map(({ name, dtype, shape, shard, range }) => ({ name, dtype, shape, shard, ...range }));
  return { ...summarize(source), ...jsonConfigOf(source), metadata, tensors };
}

function jsonValueOf(value: unknown, type: string | undefined): unknown {
  if (!isArray(value)) return value;
  const first = Array.from({ length: Math.min(value.length, shownElements) }, (_, index) => jsonValueOf(value[index], undefined));
  return value.length <= shownElements ? first : { type, length: value.length, first };
}

function toText(source: GgufSource, withTensors: boolean): string {
  const { identity, format, version, shards, fileBytes, tensorCount, parameterCount, tensorBytesByDType, vocabulary } = summarize(source);
  const dtypes = Object.entries(tensorBytesByDType).map(([dtype, byteLength]) => `${dtype} ${formatBytes(byteLength)}`);
  const overview = [
    ["identity", identity],
    ["file", `${format} version ${version}, ${formatBytes(fileBytes)}${shards > 1 ? ` in ${shards} shards` : ""}`],
    ["tensors", tensorCount === 0 ? "none" : `${tensorCount} with ${parameterCount.toLocaleString("en")} parameters: ${dtypes.join(", ")}`],
    ["vocabulary", vocabulary ? `${vocabulary.model}${vocabulary.pre ? ` (${vocabulary.pre})` : ""}, ${vocabulary.size} tokens` : "none"],
  ];
  const config = configOf(source);
  const graph = config instanceof Error ? [["graph", `none: ${config.message}`] as const] : describeConfig(config);
  const metadata = [...source.metadata].map(([key, value]) => {
    const type = source.metadataTypes.get(key) ?? "";
    return [key, type, shownText(value, type)];
  });
  const sections = [formatTable([...overview, ...graph]), formatTable([["metadata", "type", "value"], ...metadata])];
  if (withTensors) sections.push(formatTensors([...source.tensors.values()]));
  return sections.join("\n\n");
}

function formatTensors(infos: readonly TensorInfo[]): string {
  const rows = infos.map(({ name, dtype, shape, shard, range }) => [
    name,
    dtype,
    `[${shape.join(", ")}]`,
    String(range.byteLength),
    `${shard}:${range.offset}`,
  ]);
  return formatTable([["tensor", "dtype", "shape", "bytes", "shard:offset"], ...rows], new Set([3]));
}

/** One line: control characters escaped, long texts and arrays cut. */
function shownText(value: unknown, type: string): string {
  if (isArray(value)) {
    const elementType = type.replace(/\[\]$/, "");
    const shown = Array.from({ length: Math.min(value.length, shownElements) }, (_, index) => shownText(value[index], elementType));
    return value.length <= shownElements ? `[${shown.join(", ")}]` : `[${shown.join(", ")}, … ${value.length} elements]`;
  }
  // 0.00001, which is meant, and not 0.000009999999747378752, which is stored.
  if (type === "f32" && typeof value === "number") return String(Number(value.toPrecision(f32Digits)));
  if (typeof value !== "string") return String(value);
  const escaped = jsonLine(value);
  return escaped.length <= shownCharacters ? escaped : `${escaped.slice(0, shownCharacters)}… (${value.length} characters)`;
}
