/** What an engine and an embedder are opened on: file, devices, ledger and budgets, all of them or none. */
import { type LoadProgress, listOffloadUnits, placeOnOneDevice, readModelConfig } from "@thermocline/core";
import { openGguf } from "@thermocline/loader-gguf";
import { resolvePlan } from "@thermocline/solver";
import {
  type Backend,
  createMemoryLedger,
  type DemandSettings,
  type MemoryLedger,
  type ModelConfig,
  type ModelSource,
  type OffloadPlan,
  type Placement,
} from "@thermocline/spec";
import { type BackendOptions, createBackend, createPlanBackends } from "./backends.js";
import { type BytesByDevice, checkLimits, claimLimits, type LimitClaims, type MemoryLimits } from "./budgets.js";
import { hostLedgerOf } from "./host-memory.js";
import { ModelOpening } from "./model-opening.js";
import type { AskedSettings } from "./planning/memory-settings.js";
import { readPlan } from "./read-plan.js";

/** A path, a `file:` or `http(s):` URL, a Blob, or all shards of a model in order. */
export type ModelLocation = Parameters<typeof openGguf>[0];

export interface ResourceOptions extends BackendOptions, MemoryLimits {
  /**
   * A plan, or the path of one. It names the devices, so `backend` must stay away; `threads` is for its CPU devices that name none. Its
   * settings are the defaults of the opening, its budgets and reserves bound the ledger; where nothing else is asked, what it says of bytes
   * must be true to the byte.
   */
  readonly plan?: OffloadPlan | string;
  /** Share one between models, and they share the devices' budgets. */
  readonly ledger?: MemoryLedger;
  /** Names the model's reservations and guarantees in the ledger; default: the model's name, numbered where it is taken. */
  readonly owner?: string;
  /**
   * For every device, or by device id. Default: the plan's, else what the ledger already says, else the host's memory less 1 GiB or a
   * tenth, whichever is more. All host devices of a ledger together never get more than that. An opening that fails leaves the ledger's
   * budgets as they were.
   */
  readonly budgetBytes?: BytesByDevice;
  /** Of each budget, bytes that always stay free. Default: the plan's, else what the ledger says, else 0. */
  readonly reserveBytes?: BytesByDevice;
  /**
   * For every device, or by device id: a minimum that no other model of the ledger can take for as long as this one is open. Sizes that are
   * found ("max", KV budgets) are then found within it, so that they do not depend on which of several models is opened first.
   */
  readonly guaranteedBytes?: BytesByDevice;
  /** Ends the opening; what is asked of the model later has signals of its own. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
}

export interface OpenedResources {
  readonly source: ModelSource;
  readonly config: ModelConfig;
  readonly backends: readonly Backend[];
  readonly ledger: MemoryLedger;
  readonly placement: Placement;
  /** What memory is sized by: what was asked, the plan's where nothing was. */
  readonly settings: DemandSettings;
  /** The model's name in its file. */
  readonly name: string;
  /** Names this opening's reservations. */
  readonly owner: string;
}

/**
 * Opens the resources and makes `Model` of them. It owns what `own` is told of, and disposes of it with `disposeAll`.
 * @throws what the file, the plan, the devices and `create` throw; nothing stays open or reserved then.
 */
export async function withResources<Model>(
  location: ModelLocation,
  options: ResourceOptions,
  asked: AskedSettings,
  create: (resources: OpenedResources, own: Owned) => Promise<Model>,
): Promise<Model> {
  const own = new Owned();
  let limits: LimitClaims | undefined;
  try {
    checkLimits(options);
    const source = own.add(await openGguf(location, { ...(options.signal && { signal: options.signal }) }));
    const config = readModelConfig(source);
    const units = listOffloadUnits(source, config);
    const plan = options.plan === undefined ? undefined : await readPlan(options.plan);
    const planned = plan && resolvePlan(plan, { model: source.identity, units });
    const backends = plan === undefined ? [await createBackend(options)] : await createPlanBackends(plan.devices, options);
    for (const backend of backends) own.add(backend);

    // From here on to the reservation nothing waits: what is found to fit is still there when it is reserved.
    const ledger = hostLedgerOf(options.ledger ?? createMemoryLedger());
    for (const { device } of backends) if (device.kind === "cpu") ledger.addHostDevice(device.id);
    const name = nameOf(source);
    const owner = options.owner ?? ownerOf(ledger, name);
    const claimed = claimLimits(
      ledger,
      backends.map(({ device }) => device),
      owner,
      options,
      plan?.devices,
    );
    limits = claimed;
    own.add({ [Symbol.asyncDispose]: async () => claimed[Symbol.dispose]() });
    const placement = planned ?? placeOnOneDevice(units, backends[0]!.device.id);
    const { onNotice } = options;
    const opening = new ModelOpening({ source, backends, placement, ledger, owner, ...(plan && { plan }), ...(onNotice && { onNotice }) });
    const settings = opening.settle(asked);
    const model = await create({ source, config, backends, ledger, placement, settings, name, owner }, own).catch((error) => {
      throw opening.withRemedy(error, settings);
    });
    limits.keep();
    return model;
  } catch (error) {
    // What failed matters more than what failed after it.
    await own.disposeAll().catch(() => {});
    limits?.withdraw();
    throw error;
  }
}

/** What a model gives back when it is disposed of. */
export class Owned {
  readonly #resources: AsyncDisposable[] = [];
  #disposing: Promise<void> | undefined;

  add<Resource extends AsyncDisposable>(resource: Resource): Resource {
    this.#resources.push(resource);
    return resource;
  }

  /** Once: last opened, first closed; each is closed whatever happens to the others. @throws the first failure. */
  disposeAll(): Promise<void> {
    this.#disposing ??= this.#dispose();
    return this.#disposing;
  }

  async #dispose(): Promise<void> {
    const failures: unknown[] = [];
    for (const resource of [...this.#resources].reverse()) {
      try {
        await resource[Symbol.asyncDispose]();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

function nameOf(source: ModelSource): string {
  const name = source.metadata.get("general.name");
  return typeof name === "string" && name !== "" ? name : String(source.metadata.get("general.architecture"));
}

/** Reservations are told apart by owner, so a second model of the same name gets another. */
function ownerOf(ledger: MemoryLedger, name: string): string {
  const owners = new Set([...ledger.report(), ...ledger.guarantees()].map(({ owner }) => owner));
  let owner = name;
  for (let count = 2; owners.has(owner); count++) owner = `${name} (${count})`;
  return owner;
}
