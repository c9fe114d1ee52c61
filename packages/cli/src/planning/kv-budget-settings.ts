/** A KV budget in anybody's words becomes tokens of KV cache, and a context that they hold. */
import { kvCacheTokensOf, parseKvBudget } from "@thermocline/core/demand";
import {
  type DemandDevice,
  type DemandModel,
  type DemandSettings,
  type DeviceId,
  type Placement,
  ThermoclineError,
} from "@thermocline/spec";
import { kvBlockTokens } from "./memory-settings.js";

export interface KvBudgetQuestion {
  readonly demandModel: DemandModel;
  readonly devices: readonly DemandDevice[];
  readonly placement: Placement;
  /** What fractions are of. */
  readonly memory: Readonly<Record<DeviceId, { readonly totalBytes: number; readonly freeBytes: number }>>;
}

/** One block. */
const leastContext = kvBlockTokens;
const wholeBlocks = (tokens: number) => Math.floor(tokens / kvBlockTokens) * kvBlockTokens;

/**
 * The settings with `kvCacheTokens`; a context that was not asked for becomes no longer than they are.
 * @throws InvalidRequestError for a budget that cannot be read or leaves nothing, or holds less than the context that was asked for.
 */
export function withKvBudget(question: KvBudgetQuestion, settings: DemandSettings, text: string): DemandSettings {
  const budget = parseKvBudget(text);
  const { demandModel, devices, placement, memory } = question;
  const tokensAt = (contextLength: number) =>
    kvCacheTokensOf(demandModel, devices, { ...settings, contextLength }, budget, { placement, memory });
  const { contextLength: asked } = settings;
  if (asked !== undefined) return { ...settings, kvCacheTokens: tokensAt(asked) };
  const { contextLength: usual } = demandModel.demandOf(devices, settings).settings;
  const most = budget.kind === "tokens" ? Math.min(usual, Math.max(leastContext, wholeBlocks(budget.numTokens))) : usual;
  const kvCacheTokens = firstThatFits(tokensAt, most);
  return { ...settings, contextLength: Math.min(usual, kvCacheTokens), kvCacheTokens };
}

/** Tokens of the budget at the longest of contexts that halve for which it holds one sequence. */
function firstThatFits(tokensAt: (contextLength: number) => number, usual: number): number {
  for (let contextLength = usual; ; contextLength = Math.floor(contextLength / 2)) {
    try {
      return tokensAt(contextLength);
    } catch (error) {
      const isTooLong = ThermoclineError.isInstance(error) && error.code === "insufficient-memory";
      if (!isTooLong || contextLength <= leastContext) throw error;
    }
  }
}
