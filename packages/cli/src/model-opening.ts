/** How much memory an opening asks for: settings that are found, a plan's word about bytes, and what would fit where it does not. */
import { createDemandModel } from "@thermocline/core/demand";
import {
  type Backend,
  type DemandDevice,
  type DemandModel,
  type DemandSettings,
  type DeviceId,
  InsufficientMemoryError,
  InvalidRequestError,
  type MemoryLedger,
  type ModelSource,
  type OffloadPlan,
  type PlacedBytes,
  type Placement,
  type PlanRemedy,
  ThermoclineError,
} from "@thermocline/spec";
import { formatBytes } from "./format-bytes.js";
import { withKvBudget } from "./planning/kv-budget-settings.js";
import { type AskedSettings, longestContext, mergeSettings, type SizingQuestion, sameSettings } from "./planning/memory-settings.js";
import { checkPlannedBytes, sumByDevice, totalBytes } from "./planning/planned-bytes.js";
import { cureOf, findSettingsRemedy, remedyInParameters } from "./planning/remedy.js";

export interface OpeningContext {
  readonly source: ModelSource;
  readonly backends: readonly Backend[];
  readonly placement: Placement;
  readonly plan?: OffloadPlan;
  readonly ledger: MemoryLedger;
  readonly owner: string;
  readonly onNotice?: (notice: string) => void;
}

export class ModelOpening {
  #demandModel: DemandModel | undefined;
  readonly #devices: readonly DemandDevice[];

  constructor(private readonly context: OpeningContext) {
    this.#devices = context.backends.map(({ device, traits }) => ({
      id: device.id,
      traits,
      ...(device.contextBytes !== undefined && { contextBytes: device.contextBytes }),
    }));
  }

  /**
   * The settings to open with. Reads nothing and reserves nothing.
   * @throws InvalidPlanError where the plan's account of bytes is not true, InvalidRequestError for settings that cannot be.
   */
  settle(asked: AskedSettings): DemandSettings {
    const { plan } = this.context;
    const { contextLength, kvBudget, ...others } = mergeSettings(asked, plan?.settings);
    refuseTwoSizes(asked);
    let settings: DemandSettings = others;
    if (contextLength === "max") settings = { ...others, ...this.#longest(others) };
    else if (contextLength !== undefined) settings = { ...others, contextLength };
    if (kvBudget !== undefined) settings = this.#withKvBudget(settings, kvBudget);
    if (plan?.bytes !== undefined) this.#checkPlan(plan, settings);
    return settings;
  }

  /** The same error with a cure that was tried; any other error as it is. */
  withRemedy(error: unknown, settings: DemandSettings): unknown {
    if (!(ThermoclineError.isInstance(error) && error.code === "insufficient-memory")) return error;
    const { device, needBytes, haveBytes, holders } = error as InsufficientMemoryError;
    const remedy = this.#remedyOf(error as InsufficientMemoryError, settings);
    if (remedy === undefined) return error;
    return new InsufficientMemoryError(device, needBytes, haveBytes, holders, cureOf(remedy, remedyInParameters(remedy)), remedy);
  }

  #remedyOf(error: InsufficientMemoryError, settings: DemandSettings): PlanRemedy | undefined {
    try {
      const { settings: resolved } = this.#demand.demandOf(this.#devices, settings);
      const change = findSettingsRemedy(this.#question(this.#fits), resolved);
      return change === undefined ? this.#budgetRemedy(error, resolved) : { settings: change };
    } catch (cause) {
      // A remedy is help, and no reason to say less of what went wrong.
      if (!ThermoclineError.isInstance(cause)) throw cause;
      return undefined;
    }
  }

  /** A larger budget of one device, where that is enough and the host has it. */
  #budgetRemedy({ device, needBytes, haveBytes }: InsufficientMemoryError, settings: DemandSettings): PlanRemedy | undefined {
    const { ledger, placement } = this.context;
    const heldBytes = ledger.budget(device);
    const budgetBytes = heldBytes + needBytes - haveBytes;
    if (!this.#devices.some(({ id }) => id === device) || !Number.isSafeInteger(budgetBytes)) return undefined;
    ledger.setBudget(device, budgetBytes);
    try {
      const fits = this.#fits(this.#demand.bytesOf(this.#devices, settings, placement));
      return fits ? { budgetBytes: { [device]: budgetBytes } } : undefined;
    } finally {
      ledger.setBudget(device, heldBytes);
    }
  }

  /** Fractions are of the ledger's budget, and of what is free in it: with a guarantee that and no more. */
  #withKvBudget(settings: DemandSettings, kvBudget: string): DemandSettings {
    const { ledger, owner, placement } = this.context;
    const guaranteed = this.#guaranteedBytes();
    const memory = this.#devices.map(({ id }) => {
      const freeBytes = guaranteed.get(id) ?? ledger.available(id, owner);
      return [id, { totalBytes: ledger.budget(id), freeBytes }] as const;
    });
    const question = { demandModel: this.#demand, devices: this.#devices, placement, memory: Object.fromEntries(memory) };
    return withKvBudget(question, settings, kvBudget);
  }

  #guaranteedBytes(): ReadonlyMap<DeviceId, number> {
    const { ledger, owner } = this.context;
    const guaranteed = new Map<DeviceId, number>();
    for (const guarantee of ledger.guarantees()) {
      if (guarantee.owner === owner) guaranteed.set(guarantee.device, (guaranteed.get(guarantee.device) ?? 0) + guarantee.byteLength);
    }
    return guaranteed;
  }

  #longest(settings: DemandSettings): { readonly contextLength: number } {
    const guaranteed = this.#guaranteedBytes();
    const isWithinGuarantees = (placed: readonly PlacedBytes[]) =>
      Object.entries(sumByDevice(placed)).every(
        ([device, bytes]) => totalBytes(bytes) <= (guaranteed.get(device) ?? Number.POSITIVE_INFINITY),
      );
    const fits = (placed: readonly PlacedBytes[]) => isWithinGuarantees(placed) && this.#fits(placed);
    // Where nothing fits the reservation says so, with what would.
    return { contextLength: longestContext(this.#question(fits), settings) ?? Math.min(this.#demand.model.contextLength, 1) };
  }

  #checkPlan(plan: OffloadPlan, settings: DemandSettings): void {
    const { placement, onNotice } = this.context;
    const placed = this.#demand.bytesOf(this.#devices, settings, placement);
    // How many threads a device has decides how much room its kernels need.
    const isAsPlanned = Object.values(plan.devices).every(({ backend, threads }) => backend !== "cpu" || threads !== undefined);
    if (isAsPlanned && plan.settings !== undefined && sameSettings(settings, plan.settings)) {
      checkPlannedBytes(plan, placed);
      return;
    }
    const actual = sumByDevice(placed);
    const changes = Object.keys(plan.devices).flatMap((device) => {
      const [planned, now] = [totalBytes(plan.bytes?.[device]), totalBytes(actual[device])];
      return planned === now ? [] : [`${device} ${formatBytes(now)} in place of ${formatBytes(planned)}`];
    });
    if (changes.length > 0) onNotice?.(`other settings than the plan's take other bytes than it says: ${changes.join(", ")}`);
  }

  #question(fits: SizingQuestion["fits"]): SizingQuestion {
    return { demandModel: this.#demand, devices: this.#devices, placement: this.context.placement, fits };
  }

  /** By reserving, and giving back at once. */
  #fits = (placed: readonly PlacedBytes[]): boolean => {
    const { ledger, owner } = this.context;
    try {
      for (const reservation of ledger.reserve(placed.map((bytes) => ({ ...bytes, owner })))) reservation[Symbol.dispose]();
      return true;
    } catch (error) {
      if (ThermoclineError.isInstance(error) && error.code === "insufficient-memory") return false;
      throw error;
    }
  };

  get #demand(): DemandModel {
    const demandModel = this.#demandModel ?? createDemandModel(this.context.source);
    this.#demandModel = demandModel;
    return demandModel;
  }
}

function refuseTwoSizes({ contextLength, kvCacheTokens, kvBudget }: AskedSettings): void {
  if (kvBudget === undefined) return;
  const other = kvCacheTokens !== undefined ? "kvCacheTokens" : contextLength === "max" ? "the longest context" : undefined;
  if (other !== undefined) throw new InvalidRequestError("kvBudget", kvBudget, `was given beside ${other}`, "leave one of the two out");
}
