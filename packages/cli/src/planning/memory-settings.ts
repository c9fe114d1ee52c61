/** From what a caller asks to what memory is sized by: a plan's settings, "max", and KV budgets become numbers. Everything here is synchronous. */
import type { DemandDevice, DemandModel, DemandSettings, PlacedBytes, Placement } from "@thermocline/spec";

/** Settings of an opening. */
export interface AskedSettings extends Omit<DemandSettings, "contextLength"> {
  /** "max": the longest that fits. */
  readonly contextLength?: number | "max";
  /** In place of `kvCacheTokens`. */
  readonly kvBudget?: string;
}

/** A placed model whose settings are in question. */
export interface SizingQuestion {
  readonly demandModel: DemandModel;
  readonly devices: readonly DemandDevice[];
  readonly placement: Placement;
  /** Whether these bytes can be reserved now. */
  fits(bytes: readonly PlacedBytes[]): boolean;
}

/** A KV cache's blocks; context lengths between two multiples take the same blocks. */
export const kvBlockTokens = 32;

/** What was asked, and where nothing was the plan's. A size of the KV cache that follows from another context or batch is left behind. */
export function mergeSettings(asked: AskedSettings, planned: DemandSettings = {}): AskedSettings {
  const given = Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined)) as AskedSettings;
  const { kvCacheTokens, ...others } = planned;
  const isKept = (name: "contextLength" | "maxSequences") => given[name] === undefined || given[name] === planned[name];
  const keepsTokens = given.kvBudget === undefined && isKept("contextLength") && isKept("maxSequences");
  return { ...others, ...(keepsTokens && kvCacheTokens !== undefined && { kvCacheTokens }), ...given };
}

/** Whether opening takes what the plan was sized by. */
export function sameSettings(settings: DemandSettings, planned: DemandSettings): boolean {
  const names = Object.keys({ ...settings, ...planned }) as (keyof DemandSettings)[];
  return names.every((name) => settings[name] === planned[name]);
}

/** The longest context that fits, in whole blocks but for the model's own limit; undefined where not even one block does. */
export function longestContext(question: SizingQuestion, settings: DemandSettings): number | undefined {
  const { demandModel, devices, placement, fits } = question;
  const most = demandModel.model.contextLength;
  const fitsAt = (contextLength: number) => fits(demandModel.bytesOf(devices, { ...settings, contextLength }, placement));
  if (fitsAt(most)) return most;
  // Bytes grow with the context.
  let [least, tooMany] = [0, Math.ceil(most / kvBlockTokens)];
  while (tooMany - least > 1) {
    const middle = Math.floor((least + tooMany) / 2);
    if (fitsAt(middle * kvBlockTokens)) least = middle;
    else tooMany = middle;
  }
  return least === 0 ? undefined : least * kvBlockTokens;
}
