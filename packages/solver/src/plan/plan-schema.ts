/** The shape of an offload plan, once, as data: `parsePlan` checks against it, and editors complete and check hand-written plans with it. */
import {
  type DemandSettings,
  dtypes,
  memoryClasses,
  type OffloadPlan,
  type OffloadPlanUnit,
  type PlanDevice,
  type PlanSolver,
  type PredictedTimes,
  type StrategyPrediction,
  type Workload,
} from "@thermocline/spec";

/** The part of JSON Schema that `offloadPlanSchema` uses. Every object lists all its fields or one schema for all of them. */
export interface PlanSchema {
  readonly type: "object" | "array" | "string" | "integer" | "number";
  readonly description?: string;
  readonly const?: number;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minProperties?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, PlanSchema>>;
  readonly propertyNames?: { readonly pattern: string };
  readonly additionalProperties?: false | PlanSchema;
  readonly items?: PlanSchema;
  readonly prefixItems?: readonly PlanSchema[];
}

// Above this bound a JSON number may stand for several integers.
const count = (description: string, minimum = 0): PlanSchema => ({
  type: "integer",
  minimum,
  maximum: Number.MAX_SAFE_INTEGER,
  description,
});
const quantity = (description: string): PlanSchema => ({ type: "number", minimum: 0, description });
const fraction = (description: string): PlanSchema => ({ type: "number", minimum: 0, maximum: 1, description });
const name = (description: string): PlanSchema => ({ type: "string", minLength: 1, description });
const text = (description: string): PlanSchema => ({ type: "string", description });
const oneOf = (description: string, values: readonly string[]): PlanSchema => ({ type: "string", enum: values, description });

/** Of `T`, all fields and no others: a field that the interface gains is an error here until the schema has it too. */
type Fields<T> = Readonly<Record<keyof T, PlanSchema>>;

const record = <T>(description: string, required: readonly (keyof T & string)[], properties: Fields<T>): PlanSchema => ({
  type: "object",
  description,
  required,
  additionalProperties: false,
  properties,
});

// `kind:index`. The form also keeps the order of `devices`: JavaScript moves keys that look like integers to the front.
const deviceIds = { pattern: "^[a-z][a-z0-9-]*:[0-9]+$" };
const dtypeNames = Object.keys(dtypes);

const planDevice = record<PlanDevice>("How to make a device.", ["backend"], {
  backend: name("The backend that runs this device: cpu, reference, cuda."),
  threads: count("Threads of a CPU backend.", 1),
  budgetBytes: count("Most bytes that may be reserved on this device."),
  reserveBytes: count("Of the budget, bytes that stay free."),
  name: text("What the device is, for people."),
});

const planUnit = record<OffloadPlanUnit>("Where a unit, or rows of it, lie.", ["id", "device"], {
  id: name("The unit: embedding, blk.3.attention, blk.3.feed-forward, blk.3.router, blk.3.experts, head."),
  device: name("The device that holds the unit, or these rows of it."),
  rows: {
    type: "array",
    description: "Ascending, disjoint ranges [first, count]; absent: the whole unit.",
    minItems: 1,
    items: { type: "array", minItems: 2, maxItems: 2, prefixItems: [count("First row."), count("Number of rows.", 1)] },
  },
  byteLength: count("Bytes that the unit, or these rows, take on the device: weights, KV cache and state."),
  kvCacheByteLength: count("Of byteLength, the KV cache and state."),
  reason: text("Why it lies there, for people."),
  predictedSeconds: quantity("Seconds of one step of the workload's answer that the solver expects."),
  activationFrequency: fraction("How often these rows are active for a token, on average."),
});

const summary = record<NonNullable<OffloadPlan["summary"]>>(
  "The model, for people.",
  ["name", "architecture", "quantisation", "numLayers", "contextLength", "weightBytes"],
  {
    name: text("The model's name."),
    architecture: text("The architecture as the file names it."),
    quantisation: text("The dtype of most weight bytes, or the file's name for its mixture."),
    numLayers: count("Layers."),
    contextLength: count("Longest context that the model was trained for, in tokens."),
    weightBytes: count("Bytes of all tensors in the file."),
  },
);

const settings = record<DemandSettings>("What memory was sized by.", [], {
  contextLength: count("Tokens of one sequence.", 1),
  maxBatchTokens: count("Most tokens in one step.", 1),
  maxSequences: count("Sequences at a time.", 1),
  kvCacheTokens: count("Tokens that the KV cache holds over all sequences.", 1),
  keyCacheDType: oneOf("Type of cached keys.", dtypeNames),
  valueCacheDType: oneOf("Type of cached values.", dtypeNames),
  maxScoredTokens: count("Tokens of a step whose log-probabilities can be asked for.", 1),
});

const workload = record<Workload>("What the plan was made fast for.", ["promptTokens", "outputTokens", "contextDepth", "batch"], {
  promptTokens: count("Tokens of a prompt."),
  outputTokens: count("Tokens of an answer."),
  contextDepth: count("Tokens that the KV cache holds of a sequence when its prompt begins."),
  batch: count("Requests that run together.", 1),
});

const machine = record<NonNullable<OffloadPlan["machine"]>>("The machine profile that speeds were predicted with.", ["name", "source"], {
  name: text("Name of the profile."),
  source: text("Where its figures come from: measured, or an address."),
});

const solver = record<PlanSolver>("What made the plan.", ["name", "version", "status", "boundSeconds", "gap"], {
  name: name("greedy, exact, or the strategy that was better than both."),
  version: name("Version of @thermocline/solver."),
  status: oneOf("optimal: within the gap that was asked for.", ["optimal", "feasible"]),
  boundSeconds: quantity("No placement takes fewer seconds for the workload."),
  gap: fraction("Share of the workload's seconds by which they exceed the bound."),
  note: text("What kept the solver from doing all that was asked."),
});

const predicted = record<PredictedTimes>("Speeds that the solver expects.", ["prefillSeconds", "secondsPerToken"], {
  workloadSeconds: quantity("Seconds of the whole workload."),
  prefillSeconds: quantity("Seconds to the first token of one prompt."),
  secondsPerToken: quantity("Seconds between two tokens of a sequence."),
});

const strategyPrediction = record<StrategyPrediction>(
  "Predicted speed of one way to place the model, at one depth.",
  ["strategy", "contextDepth", "prefillTokensPerSecond", "decodeTokensPerSecond"],
  {
    strategy: name("plan, whole-layer, ffn-first, autosplit."),
    contextDepth: count("Tokens of context."),
    prefillTokensPerSecond: quantity("Prompt tokens a second."),
    decodeTokensPerSecond: quantity("Tokens a second of all sequences together."),
  },
);

const properties = {
  version: { type: "integer", const: 1, description: "Version of this format." },
  model: name("Identity of the model that the plan is for."),
  devices: {
    type: "object",
    description: "Device ids and how to make each device; units that no entry names lie on the first.",
    minProperties: 1,
    propertyNames: deviceIds,
    additionalProperties: planDevice,
  },
  units: { type: "array", description: "Where units, or rows of units, lie.", items: planUnit },
  summary,
  settings,
  workload,
  machine,
  solver,
  bytes: {
    type: "object",
    description: "Bytes to be reserved, by device and memory class; a plan that states them names every unit.",
    propertyNames: deviceIds,
    additionalProperties: {
      type: "object",
      additionalProperties: false,
      properties: Object.fromEntries(memoryClasses.map((memoryClass) => [memoryClass, count("Bytes of this class.")])),
    },
  },
  estimates: { type: "array", description: "Why bytes are upper bounds, a sentence each.", items: name("A sentence.") },
  predicted,
  comparison: { type: "array", description: "The plan and its rivals, at several depths.", items: strategyPrediction },
} as const satisfies Fields<OffloadPlan>;

/** JSON Schema (draft 2020-12) of `OffloadPlan`, version 1. */
export const offloadPlanSchema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "Thermocline offload plan",
  type: "object",
  required: ["version", "model", "devices", "units"],
  additionalProperties: false,
  properties,
} as const satisfies PlanSchema & { readonly $schema: string; readonly title: string };
