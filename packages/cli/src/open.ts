/** The wiring: file, plan, devices, ledger and engine become one model that owns them all. */
import {
  createEngine,
  createTokenizer,
  type LoadedEngine,
  type LoadProgress,
  listOffloadUnits,
  placeOnOneDevice,
  readModelConfig,
  type TextTokenizer,
} from "@thermocline/core";
import { openGguf } from "@thermocline/loader-gguf";
import { resolvePlan } from "@thermocline/solver";
import {
  createMemoryLedger,
  type DType,
  type Engine,
  type MemoryLedger,
  type ModelConfig,
  type ModelSource,
  type OffloadPlan,
  type Placement,
  ThermoclineError,
} from "@thermocline/spec";
import { type BackendOptions, createBackend, createPlanBackends } from "./backends.js";
import { type BudgetBytes, type BudgetClaims, checkBudgetBytes, claimBudgets } from "./budgets.js";
import { hostLedgerOf } from "./host-memory.js";
import { readPlan } from "./read-plan.js";

/** A path, a `file:` or `http(s):` URL, a Blob, or all shards of a model in order. */
export type ModelLocation = Parameters<typeof openGguf>[0];

export interface OpenOptions extends BackendOptions {
  /** A plan, or the path of one. It names the devices, so `backend` must stay away; `threads` is for its CPU devices that name none. */
  readonly plan?: OffloadPlan | string;
  /** Tokens of one sequence, prompt and answer together; default: the model's, at most 4096. */
  readonly contextLength?: number;
  /** Sequences decoded together; more wait. Default 1. */
  readonly maxSequences?: number;
  /** Tokens in one step: the prefill chunk. Default 256. */
  readonly maxBatchTokens?: number;
  /** Of cached keys and values; default: each device's own. */
  readonly keyCacheDType?: DType;
  readonly valueCacheDType?: DType;
  /** Positions whose logits `score` gets from one step; absent: nothing can be scored, and no memory is taken for it. */
  readonly maxScoredTokens?: number;
  /** Keep the keys and values of finished sequences for requests that begin alike. Default true. */
  readonly prefixCache?: boolean;
  /** Share one between models, and they share the devices' budgets. */
  readonly ledger?: MemoryLedger;
  /**
   * For every device, or by device id. Default: the plan's, else what the ledger already says, else the host's memory less 1 GiB or a
   * tenth, whichever is more. All host devices of a ledger together never get more than that. An opening that fails leaves the ledger's
   * budgets as they were.
   */
  readonly budgetBytes?: BudgetBytes;
  /** Ends the opening; generations have a signal of their own. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Measure when the parts of split layers run: `statistics().overlap`. */
  readonly trace?: boolean;
}

/** Disposing it ends what it generates and gives back everything that was opened. */
export interface OpenedModel extends Engine {
  /** The model's name in its file. */
  readonly name: string;
  /** What a plan for this model names: `source.identity`. */
  readonly identity: string;
  readonly config: ModelConfig;
  readonly contextLength: number;
  /** Undefined where the file's vocabulary is of a kind that is not supported; token ids can be generated from all the same. */
  readonly tokenizer: TextTokenizer | undefined;
  /** Where every unit lies. */
  readonly placement: Placement;
  /** Owned by the model. */
  readonly source: ModelSource;
}

/**
 * Opens a model and loads its weights.
 *
 * ```ts
 * const model = await open("model.gguf");
 * for await (const event of model.generate({ prompt: "Once upon a time" })) {
 *   if (event.type === "text-delta") process.stdout.write(event.text);
 * }
 * await model[Symbol.asyncDispose]();
 * ```
 *
 * @throws FileAccessError, GgufFormatError, UnsupportedModelError, InvalidTensorError (the file); InvalidPlanError;
 * BackendUnavailableError, UnsupportedOpError (the devices); InvalidRequestError (the options); InsufficientMemoryError; the signal's
 * reason. Nothing stays open or reserved then.
 */
export async function open(location: ModelLocation, options: OpenOptions = {}): Promise<OpenedModel> {
  const owned: AsyncDisposable[] = [];
  const own = <Resource extends AsyncDisposable>(resource: Resource): Resource => {
    owned.push(resource);
    return resource;
  };
  let budgets: BudgetClaims | undefined;
  try {
    checkBudgetBytes(options.budgetBytes);
    const source = own(await openGguf(location, { ...(options.signal && { signal: options.signal }) }));
    const units = listOffloadUnits(source, readModelConfig(source));
    const plan = options.plan === undefined ? undefined : await readPlan(options.plan);
    const planned = plan && resolvePlan(plan, { model: source.identity, units });
    const backends = plan === undefined ? [await createBackend(options)] : await createPlanBackends(plan.devices, options);
    owned.push(...backends);

    const ledger = hostLedgerOf(options.ledger ?? createMemoryLedger());
    for (const { device } of backends) if (device.kind === "cpu") ledger.addHostDevice(device.id);
    const devices = backends.map(({ device }) => device.id);
    budgets = claimBudgets(ledger, devices, options.budgetBytes, plan?.devices);
    const placement = planned ?? placeOnOneDevice(units, backends[0]!.device.id);
    const { contextLength, maxSequences, maxBatchTokens, keyCacheDType, valueCacheDType, maxScoredTokens, prefixCache } = options;
    const { signal, onProgress, trace } = options;
    const name = nameOf(source);
    const tokenizer = tokenizerOf(source);
    const engine = own(
      await createEngine({
        source,
        backends,
        placement,
        ledger,
        owner: ownerOf(ledger, name),
        contextLength,
        maxSequences,
        maxBatchTokens,
        keyCacheDType,
        valueCacheDType,
        maxScoredTokens,
        prefixCache,
        ...(tokenizer && { tokenizer }),
        signal,
        onProgress,
        diagnostics: { trace },
      }),
    );
    const model = new Model(engine, source, tokenizer, placement, name, owned);
    budgets.keep();
    return model;
  } catch (error) {
    // What failed matters more than what failed after it.
    await disposeAll(owned).catch(() => {});
    budgets?.withdraw();
    throw error;
  }
}

class Model implements OpenedModel {
  #disposing: Promise<void> | undefined;

  constructor(
    private readonly engine: LoadedEngine,
    readonly source: ModelSource,
    readonly tokenizer: TextTokenizer | undefined,
    readonly placement: Placement,
    readonly name: string,
    private readonly owned: readonly AsyncDisposable[],
  ) {}

  get identity(): string {
    return this.source.identity;
  }
  get config(): ModelConfig {
    return this.engine.config;
  }
  get contextLength(): number {
    return this.engine.contextLength;
  }

  generate: Engine["generate"] = (request, options) => this.engine.generate(request, options);
  score: Engine["score"] = (request, options) => this.engine.score(request, options);
  memory: Engine["memory"] = () => this.engine.memory();
  statistics: Engine["statistics"] = () => this.engine.statistics();

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposing ??= disposeAll(this.owned);
    return this.#disposing;
  }
}

/** Last opened, first closed; each is closed whatever happens to the others. @throws the first failure. */
async function disposeAll(owned: readonly AsyncDisposable[]): Promise<void> {
  const failures: unknown[] = [];
  for (const resource of [...owned].reverse()) {
    try {
      await resource[Symbol.asyncDispose]();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

/** Undefined where the file's vocabulary is of an unsupported kind: the engine then tells why, when it is given text. */
function tokenizerOf({ vocabulary }: ModelSource): TextTokenizer | undefined {
  try {
    return vocabulary && createTokenizer(vocabulary);
  } catch (error) {
    if (ThermoclineError.isInstance(error)) return undefined;
    throw error;
  }
}

function nameOf(source: ModelSource): string {
  const name = source.metadata.get("general.name");
  return typeof name === "string" && name !== "" ? name : String(source.metadata.get("general.architecture"));
}

/** Reservations are told apart by owner, so a second model of the same name gets another. */
function ownerOf(ledger: MemoryLedger, name: string): string {
  const owners = new Set(ledger.report().map(({ owner }) => owner));
  let owner = name;
  for (let count = 2; owners.has(owner); count++) owner = `${name} (${count})`;
  return owner;
}
