/** What a plan is for, in lines. */
import type { DemandSettings, OffloadPlan } from "@thermocline/spec";
import { formatBytes, formatCount, plural, printable } from "./quantities.js";

/** "TinyLlama (llama, q4_0, 22 layers, 606.5 MiB of weights)". */
export function titleOf({ model, summary }: OffloadPlan): string {
  if (summary === undefined) return `plan for model ${printable(model)}`;
  const { name, architecture, quantisation, numLayers, weightBytes } = summary;
  const traits = [architecture, quantisation, plural(numLayers, "layer"), `${formatBytes(weightBytes)} of weights`];
  return printable(`${name || "a model without a name"} (${traits.join(", ")})`);
}

/** Settings, workload and machine, as far as the plan states them. */
export function conditionsOf({ settings, workload, machine }: OffloadPlan): string[] {
  const lines: string[] = [];
  if (settings !== undefined) lines.push(`settings: ${describeSettings(settings).join(", ")}`);
  if (workload !== undefined) {
    const { promptTokens, outputTokens, contextDepth, batch } = workload;
    const depth = contextDepth > 0 ? `, behind ${plural(contextDepth, "token")} of context` : "";
    lines.push(
      `workload: a prompt of ${plural(promptTokens, "token")}, an answer of ${formatCount(outputTokens)}${depth}, ${formatCount(batch)} at a time`,
    );
  }
  if (machine !== undefined) lines.push(printable(`machine: ${machine.name} (${describeSource(machine.source)})`));
  return lines;
}

/** "assumed from sizes alone; published figures": addresses are for `sourcesOf`. */
function describeSource(source: string): string {
  const words = source.split(" ");
  const text = words.filter((word) => !address.test(word)).join(" ");
  if (!words.some((word) => address.test(word))) return text;
  return text === "" ? "published figures" : `${text} published figures`;
}

const address = /https?:\/\/\S+/;

/** "figures from https://…": where published figures of the machine are. */
export function sourcesOf({ machine }: OffloadPlan): string[] {
  const addresses = (machine?.source ?? "").split(" ").filter((word) => address.test(word));
  return addresses.length === 0 ? [] : [printable(`figures from ${addresses.join(" ")}`)];
}

function describeSettings(settings: DemandSettings): string[] {
  const { contextLength, maxBatchTokens, maxSequences, kvCacheTokens, keyCacheDType, valueCacheDType, maxScoredTokens } = settings;
  const words: string[] = [];
  if (contextLength !== undefined) words.push(`context ${formatCount(contextLength)}`);
  if (maxBatchTokens !== undefined) words.push(`steps of ${plural(maxBatchTokens, "token")}`);
  if (maxSequences !== undefined) words.push(plural(maxSequences, "sequence"));
  if (kvCacheTokens !== undefined && kvCacheTokens !== (contextLength ?? 0) * (maxSequences ?? 1))
    words.push(`KV cache of ${plural(kvCacheTokens, "token")}`);
  if (keyCacheDType !== undefined && keyCacheDType === valueCacheDType) words.push(`keys and values ${keyCacheDType}`);
  else {
    if (keyCacheDType !== undefined) words.push(`keys ${keyCacheDType}`);
    if (valueCacheDType !== undefined) words.push(`values ${valueCacheDType}`);
  }
  if (maxScoredTokens !== undefined) words.push(`${plural(maxScoredTokens, "token")} scored a step`);
  return words.length > 0 ? words : ["defaults"];
}
