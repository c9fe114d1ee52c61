/** What to change so that a model fits, found by trying, and said in the words of the caller. */
import { byteLengthOf, type DemandSettings, type DType, type PlanRemedy, ThermoclineError } from "@thermocline/spec";
import { writeByteSize } from "./byte-size.js";
import { longestContext, type SizingQuestion } from "./memory-settings.js";

const leastBatchTokens = 32;

/**
 * One setting that makes a placed model fit; undefined where none does alone. A context of more than half of what was asked comes first,
 * then smaller keys and values, smaller steps, fewer sequences, and at last any context. `settings` are resolved.
 */
export function findSettingsRemedy(question: SizingQuestion, settings: DemandSettings): DemandSettings | undefined {
  const { demandModel, contextLength, maxBatchTokens, maxSequences } = { maxBatchTokens: 256, maxSequences: 1, ...question, ...settings };
  const asked = contextLength ?? demandModel.model.contextLength;
  const longest = longestContext(question, withoutTokens(settings));
  const shorter = longest === undefined || longest >= asked ? undefined : { contextLength: longest };
  if (shorter !== undefined && shorter.contextLength > asked / 2) return shorter;
  const changes: DemandSettings[] = smallerTypes(question, settings).map((dtype) => ({ keyCacheDType: dtype, valueCacheDType: dtype }));
  for (let tokens = half(maxBatchTokens); tokens >= Math.max(leastBatchTokens, maxSequences); tokens = half(tokens))
    changes.push({ maxBatchTokens: tokens });
  for (let sequences = half(maxSequences); sequences >= 1; sequences = half(sequences)) changes.push({ maxSequences: sequences });
  return changes.find((change) => fitsWith(question, settings, change)) ?? shorter;
}

const half = (count: number) => Math.floor(count / 2);

/** False also where the model or a device does not allow the change. */
function fitsWith({ demandModel, devices, placement, fits }: SizingQuestion, settings: DemandSettings, change: DemandSettings): boolean {
  const base = change.maxSequences === undefined ? settings : withoutTokens(settings);
  try {
    return fits(demandModel.bytesOf(devices, { ...base, ...change }, placement));
  } catch (error) {
    if (ThermoclineError.isInstance(error)) return false;
    throw error;
  }
}

/** The KV cache then takes the size that follows from context and sequences. */
function withoutTokens({ kvCacheTokens: _, ...settings }: DemandSettings): DemandSettings {
  return settings;
}

/** Types of keys and values that every device has, smaller than the larger of the present ones, the largest first. */
function smallerTypes({ devices }: SizingQuestion, { keyCacheDType, valueCacheDType }: DemandSettings): readonly DType[] {
  const bytesOfRow = (dtype: DType) => byteLengthOf(dtype, 256);
  const present = devices.flatMap(({ traits }) => [keyCacheDType ?? traits.kvDTypes[0]!, valueCacheDType ?? traits.kvDTypes[0]!]);
  const presentBytes = Math.max(...present.map(bytesOfRow));
  const common = devices[0]!.traits.kvDTypes.filter((dtype) => devices.every(({ traits }) => traits.kvDTypes.includes(dtype)));
  return common.filter((dtype) => bytesOfRow(dtype) < presentBytes).sort((a, b) => bytesOfRow(b) - bytesOfRow(a));
}

/** The clause that says it, whoever's words `change` is in. */
export function cureOf({ settings, memoryBytes }: PlanRemedy, change: string): string {
  if (settings !== undefined) return `use ${change}, which fits`;
  return memoryBytes === undefined ? `raise the budget: ${change}` : `take more memory: ${change}`;
}

/** In words of `open`: `contextLength: 2048`. */
export function remedyInParameters({ settings, budgetBytes, memoryBytes }: PlanRemedy): string {
  const changes = Object.entries({ ...settings, ...(budgetBytes && { budgetBytes }), ...(memoryBytes && { memoryBytes }) });
  return changes.map(([name, value]) => `${name}: ${JSON.stringify(value)}`).join(", ");
}

/** In words of the command line: `--context 2048`. */
export function remedyInOptions({ settings = {}, budgetBytes = {}, memoryBytes = {} }: PlanRemedy): string {
  const { contextLength, maxBatchTokens, maxSequences, kvCacheTokens, keyCacheDType, valueCacheDType } = settings;
  const option = (name: string, value: unknown) => (value === undefined ? [] : [`${name} ${value}`]);
  const types =
    keyCacheDType === valueCacheDType
      ? option("--kv-type", keyCacheDType)
      : [...option("--kv-type-k", keyCacheDType), ...option("--kv-type-v", valueCacheDType)];
  return [
    ...option("--context", contextLength),
    ...types,
    ...option("--batch-tokens", maxBatchTokens),
    ...option("--sequences", maxSequences),
    ...option("--kv-budget", kvCacheTokens && `tokens:${kvCacheTokens}`),
    ...Object.entries(budgetBytes).map(([device, bytes]) => `--budget ${device}=${exactSize(bytes)}`),
    ...Object.entries(memoryBytes).map(([device, bytes]) => `${device.startsWith("cpu") ? "--ram" : "--vram"} ${writeByteSize(bytes)}`),
  ].join(" ");
}

/** To the byte: a budget may not exceed what the device has. */
function exactSize(bytes: number): string {
  return bytes % 2 ** 20 === 0 ? writeByteSize(bytes) : `${bytes}B`;
}
