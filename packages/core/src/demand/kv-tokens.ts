/** From a budget for the KV cache to the tokens that it holds. */
import {
  type DemandDevice,
  type DemandModel,
  type DemandSettings,
  type DeviceId,
  InsufficientMemoryError,
  InvalidRequestError,
  type MemoryClass,
  type PlacedBytes,
  type Placement,
} from "@thermocline/spec";
import { kvBlockSize } from "../engine-options.js";
import { type KvBudget, type KvCard, kvCacheBytesOf } from "./kv-budget.js";

export interface KvTokensOptions {
  /** Absent: everything on the first device. */
  readonly placement?: Placement;
  /** Of each device, its bytes and those free before the model is loaded. A fraction needs them; what the model takes beside its KV cache is
   *  worked out. */
  readonly memory?: Readonly<Record<DeviceId, Pick<KvCard, "totalBytes" | "freeBytes">>>;
}

/** Positions and slots travel as 32-bit integers. */
const mostBlocks = 2 ** 31 / kvBlockSize - 1;

/**
 * `kvCacheTokens` for a budget: the most tokens, in whole blocks, whose KV caches stay within it. Bytes are those of all devices together; a
 * fraction holds for each device that has layers with a KV cache, with what is placed there.
 *
 * A model of which no layer sees the whole context fills what its sequences need and no more.
 *
 * @throws InvalidRequestError for a fraction without the memory that it is of, or that leaves nothing; InsufficientMemoryError where not even one
 * sequence of `contextLength` fits, with the context that does as its cure.
 */
export function kvCacheTokensOf(
  model: DemandModel,
  devices: readonly DemandDevice[],
  settings: DemandSettings,
  budget: KvBudget,
  options: KvTokensOptions = {},
): number {
  const { kvCacheTokens: _replaced, ...others } = settings;
  const { settings: resolved, units } = model.demandOf(devices, others);
  const least = Math.ceil(resolved.contextLength / kvBlockSize);
  if (budget.kind === "tokens") return tokensOf(budget.numTokens, least * kvBlockSize);
  const placement: Placement = options.placement ?? new Map(units.map(({ id }) => [id, [{ device: devices[0]!.id }]]));
  const kvBytesByDevice = (blocks: number, contextLength: number): ReadonlyMap<DeviceId, number> => {
    const demand = model.demandOf(devices, { ...others, contextLength, kvCacheTokens: blocks * kvBlockSize });
    const bytes = new Map<DeviceId, number>();
    for (const { id, kvCache } of demand.units) {
      if (kvCache === undefined) continue;
      for (const { device } of placement.get(id) ?? []) {
        bytes.set(device, (bytes.get(device) ?? 0) + (demand.devices[device]?.units[id]?.kvCacheBytes ?? 0));
      }
    }
    return bytes;
  };

  const holders = [...kvBytesByDevice(least, resolved.contextLength)].filter(([, bytes]) => bytes > 0).map(([device]) => device);
  const limits: readonly KvLimit[] =
    budget.kind === "bytes"
      ? [{ holders, byteLength: budget.byteLength }]
      : cardsOf(model.bytesOf(devices, others, placement), holders, budget, options.memory).map(([device, card]) => ({
          holders: [device],
          byteLength: kvCacheBytesOf(budget, card),
        }));
  const kvBytesOf = (blocks: number, contextLength = resolved.contextLength) => {
    const bytes = kvBytesByDevice(blocks, contextLength);
    return limits.map((limit) => limit.holders.reduce((sum, device) => sum + (bytes.get(device) ?? 0), 0));
  };
  const bounds = limits.map(({ byteLength }) => byteLength);

  const needed = kvBytesOf(least);
  const short = needed.findIndex((bytes, index) => bytes > bounds[index]!);
  if (short >= 0) {
    const fitting = mostWithin(bounds, 0, least, (blocks) =>
      blocks === 0 ? bounds.map(() => 0) : kvBytesOf(blocks, blocks * kvBlockSize),
    );
    throw new InsufficientMemoryError(
      limits[short]!.holders.join(" and "),
      needed[short]!,
      bounds[short]!,
      [],
      fitting === 0
        ? "raise the KV budget: it holds no block of tokens"
        : `lower contextLength to ${fitting * kvBlockSize} or less, or raise the KV budget`,
    );
  }
  const blocks = mostWithin(bounds, least, mostBlocks + 1, kvBytesOf);
  return (blocks === mostBlocks ? least * resolved.maxSequences : blocks) * kvBlockSize;
}

function tokensOf(numTokens: number, leastTokens: number): number {
  const inBlocks = Math.floor(numTokens / kvBlockSize) * kvBlockSize;
  if (inBlocks >= leastTokens) return inBlocks;
  throw new InvalidRequestError(
    "kvBudget",
    `${numTokens} tokens`,
    `${numTokens} tokens are ${inBlocks} in whole blocks of ${kvBlockSize}; one sequence of contextLength takes ${leastTokens}`,
    inBlocks === 0
      ? `give at least ${leastTokens} tokens`
      : `give at least ${leastTokens} tokens, or lower contextLength to ${inBlocks} or less`,
  );
}

/** Bytes that these devices' KV caches, taken together, may have. */
interface KvLimit {
  readonly holders: readonly DeviceId[];
  readonly byteLength: number;
}

/** What each of the devices holds beside its KV cache, in the terms of the formulas. */
function cardsOf(
  placed: readonly PlacedBytes[],
  holders: readonly DeviceId[],
  budget: Exclude<KvBudget, { readonly kind: "tokens" | "bytes" }>,
  memory: KvTokensOptions["memory"],
): readonly (readonly [DeviceId, KvCard])[] {
  return holders.map((device) => {
    const known = memory?.[device];
    if (known === undefined)
      throw new InvalidRequestError(
        "kvBudget",
        `${budget.kind}:${budget.fraction}`,
        `${budget.kind}:${budget.fraction} is a share of ${device}, whose memory is not known`,
        'name the device\'s memory, or give bytes ("4GiB")',
      );
    const of = (...classes: readonly MemoryClass[]) =>
      placed.reduce((sum, entry) => (entry.device === device && classes.includes(entry.class) ? sum + entry.byteLength : sum), 0);
    return [
      device,
      {
        ...known,
        weightBytes: of("weights", "mapped-file"),
        activationBytes: of("activations"),
        otherBytes: of("staging", "transfer", "context"),
        graphBytes: of("graphs"),
      },
    ];
  });
}

/**
 * The largest count below `tooMany` whose bytes are all within the bounds; `enough` is one. Bytes grow in proportion but where windows are
 * full, so two counts tell where to look next; halving helps where they do not.
 */
function mostWithin(bounds: readonly number[], enough: number, tooMany: number, bytesOf: (count: number) => readonly number[]): number {
  const fits = (bytes: readonly number[]) => bytes.every((byteLength, index) => byteLength <= bounds[index]!);
  let low = enough;
  let lowBytes = bytesOf(low);
  let high = tooMany;
  let probe = Math.min(2 * Math.max(low, 1), high - 1);
  for (let numProbes = 1; high - low > 1; numProbes++) {
    const count = Math.min(Math.max(probe, low + 1), high - 1);
    const bytes = bytesOf(count);
    const slopes = bytes.map((byteLength, index) => (byteLength - lowBytes[index]!) / (count - low));
    if (fits(bytes)) {
      low = count;
      lowBytes = bytes;
    } else {
      high = count;
    }
    const reach = Math.min(
      ...bounds.map((bound, index) => (slopes[index]! > 0 ? (bound - lowBytes[index]!) / slopes[index]! : high - low)),
    );
    probe = numProbes % 6 === 0 ? Math.floor((low + high) / 2) : low + Math.max(1, Math.floor(reach));
  }
  return low;
}
