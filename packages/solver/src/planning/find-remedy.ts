/** What makes an infeasible request fit: found by trying, one change at a time. */
import { type DemandSettings, type DeviceId, InfeasiblePlanError, type MachineDevice, type PlanRemedy } from "@thermocline/spec";
import { applyRemedy, describeRemedy } from "./apply-remedy.js";
import { byteStepOf, largestThat, smallestThat } from "./bisection.js";
import { limitsOf } from "./device-limits.js";
import { fits } from "./find-placement.js";
import { bytesPerElement, kvTypesOf } from "./kv-types.js";
import { longestContext } from "./longest-context.js";
import type { PlanContext } from "./plan-context.js";
import type { PlanRequest } from "./plan-request.js";

/** Contexts and batches below these are no use to anybody. */
const leastContextLength = 256;
const leastBatchTokens = 16;

type MissingBytes = Readonly<Record<DeviceId, number>>;

/** The error of a request that does not fit, with one change that has been tried. */
export async function infeasiblePlanError(context: PlanContext, missingBytes: MissingBytes): Promise<InfeasiblePlanError> {
  const remedy = await findRemedy(context, missingBytes);
  if (remedy === undefined) {
    const cure = "no single setting or device makes it fit; take pins and limits away, or use a smaller model";
    return new InfeasiblePlanError(missingBytes, cure);
  }
  return new InfeasiblePlanError(missingBytes, describeRemedy(remedy), remedy);
}

/**
 * In this order, the first that fits: the longest context; the most precise smaller KV type; a smaller KV cache, where its tokens were
 * given; the largest prefill chunk; the most sequences; the smallest budget or memory of one device.
 */
async function findRemedy(context: PlanContext, missingBytes: MissingBytes): Promise<PlanRemedy | undefined> {
  const { request } = context;
  const tries = (detail: string, remedy: PlanRemedy) => {
    request.onProgress?.({ phase: "remedy", detail });
    return fits(applyRemedy(request, remedy));
  };
  const { contextLength, maxBatchTokens, maxSequences, kvCacheTokens } = context.demand.settings;
  const lower = async (name: keyof DemandSettings, least: number, now: number): Promise<PlanRemedy | undefined> => {
    const value = await largestThat(least, now - 1, (tried) => tries(`${name} ${tried}`, { settings: { [name]: tried } }));
    return value === undefined ? undefined : { settings: { [name]: value } };
  };
  const { batch } = context.workload;
  request.onProgress?.({ phase: "remedy", detail: "contextLength" });
  const longest = await longestContext(request, leastContextLength, contextLength - 1);
  if (longest !== undefined) return { settings: { contextLength: longest } };
  return (
    (await smallerKvType(context, tries)) ??
    (request.settings?.kvCacheTokens === undefined ? undefined : await lower("kvCacheTokens", contextLength, kvCacheTokens)) ??
    (await lower("maxBatchTokens", leastBatchTokens, maxBatchTokens)) ??
    (await lower("maxSequences", batch, maxSequences)) ??
    (await moreBytes(request, missingBytes, tries))
  );
}

type Tries = (detail: string, remedy: PlanRemedy) => Promise<boolean>;

async function smallerKvType({ request, settings }: PlanContext, tries: Tries): Promise<PlanRemedy | undefined> {
  const types = kvTypesOf(request);
  const defaultType = request.traits[request.machine.devices[0]!.backend]!.kvDTypes[0];
  const now = [settings.keyCacheDType ?? defaultType, settings.valueCacheDType ?? defaultType].flatMap((dtype) => dtype ?? []);
  const largest = Math.max(...now.map(bytesPerElement));
  for (const dtype of types) {
    if (bytesPerElement(dtype) >= largest) continue;
    const remedy: PlanRemedy = { settings: { keyCacheDType: dtype, valueCacheDType: dtype } };
    if (await tries(`KV cache of ${dtype}`, remedy)) return remedy;
  }
  return undefined;
}

/** Of one device: those that lack most first; more than all of one's memory only where no budget helps. */
async function moreBytes(request: PlanRequest, missingBytes: MissingBytes, tries: Tries): Promise<PlanRemedy | undefined> {
  const missing = ({ id }: MachineDevice) => missingBytes[id] ?? 0;
  const devices = [...request.machine.devices].sort((a, b) => missing(b) - missing(a));
  const limits = limitsOf(request.machine, request.budgets).devices;
  for (const device of devices) {
    const { budgetBytes } = limits.find((limit) => limit.device.id === device.id)!;
    const remedyOf = (bytes: number): PlanRemedy => ({ budgetBytes: { [device.id]: bytes } });
    const holds = (tried: number) => tries(`budget of ${device.id} ${tried}`, remedyOf(tried));
    const bytes = await leastThat(budgetBytes, missing(device), device.memoryBytes, holds);
    if (bytes !== undefined) return remedyOf(bytes);
  }
  const modelBytes = request.demandModel.model.weightBytes;
  for (const device of devices) {
    const remedyOf = (bytes: number): PlanRemedy => ({ memoryBytes: { [device.id]: bytes } });
    const holds = (tried: number) => tries(`memory of ${device.id} ${tried}`, remedyOf(tried));
    // A memory that is doubled until it holds everything, six times at most beyond the model's own size.
    let most = device.memoryBytes + missing(device) + modelBytes;
    for (let doubling = 0; doubling < 6; doubling++, most *= 2) {
      const bytes = await leastThat(device.memoryBytes, missing(device), most, holds);
      if (bytes !== undefined) return remedyOf(bytes);
    }
  }
  return undefined;
}

/** Mostly what is missing is enough, with a little for a reserve that grows with the memory: the answer is then as exact as that is small. */
async function leastThat(
  now: number,
  missing: number,
  most: number,
  holds: (bytes: number) => Promise<boolean>,
): Promise<number | undefined> {
  const near = Math.min(most, now + Math.ceil(missing * 1.25));
  const bytes = near <= now ? undefined : await smallestThat(now, near, holds, byteStepOf(near - now));
  if (bytes !== undefined || most <= near) return bytes;
  return smallestThat(near, most, holds, byteStepOf(most));
}
