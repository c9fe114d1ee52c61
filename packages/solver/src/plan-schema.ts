/** The shape of an offload plan, once, as data: `parsePlan` checks against it, and editors complete and check hand-written plans with it. */
import { memoryClasses } from "@thermocline/spec";

/** The part of JSON Schema that `offloadPlanSchema` uses. Every object lists all its fields or one schema for all of them. */
export interface PlanSchema {
  readonly type: "object" | "array" | "string" | "integer" | "number";
  readonly description?: string;
  readonly const?: number;
  readonly minimum?: number;
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

const count = (description: string, minimum = 0): PlanSchema => ({ type: "integer", minimum, description });
const seconds = (description: string): PlanSchema => ({ type: "number", minimum: 0, description });
const text = (description: string): PlanSchema => ({ type: "string", minLength: 1, description });

// `kind:index`. The form also keeps the order of `devices`: JavaScript moves keys that look like integers to the front.
const deviceIds = { pattern: "^[a-z][a-z0-9-]*:[0-9]+$" };

const planDevice: PlanSchema = {
  type: "object",
  required: ["backend"],
  additionalProperties: false,
  properties: {
    backend: text("The backend that runs this device: cpu, reference, cuda."),
    threads: count("Threads of a CPU backend.", 1),
    budgetBytes: count("Most bytes that may be reserved on this device."),
  },
};

const planUnit: PlanSchema = {
  type: "object",
  required: ["id", "device"],
  additionalProperties: false,
  properties: {
    id: text("The unit: embedding, blk.3.attention, blk.3.feed-forward, blk.3.router, blk.3.experts, head."),
    device: text("The device that holds the unit, or these rows of it."),
    rows: {
      type: "array",
      description: "Ascending, disjoint ranges [first, count]; absent: the whole unit.",
      minItems: 1,
      items: { type: "array", minItems: 2, maxItems: 2, prefixItems: [count("First row."), count("Number of rows.", 1)] },
    },
    byteLength: count("Bytes that the unit, or these rows, take on the device."),
    reason: { type: "string", description: "Why it lies there, for people." },
    predictedSeconds: seconds("Time per token that the solver expects."),
  },
};

/** JSON Schema (draft 2020-12) of `OffloadPlan`, version 1. */
export const offloadPlanSchema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "Thermocline offload plan",
  type: "object",
  required: ["version", "model", "devices", "units"],
  additionalProperties: false,
  properties: {
    version: { type: "integer", const: 1, description: "Version of this format." },
    model: text("Identity of the model that the plan is for."),
    devices: {
      type: "object",
      description: "Device ids and how to make each device; units that no entry names lie on the first.",
      minProperties: 1,
      propertyNames: deviceIds,
      additionalProperties: planDevice,
    },
    units: { type: "array", description: "Where units, or rows of units, lie.", items: planUnit },
    bytes: {
      type: "object",
      description: "Bytes to be reserved, by device and memory class.",
      propertyNames: deviceIds,
      additionalProperties: {
        type: "object",
        additionalProperties: false,
        properties: Object.fromEntries(memoryClasses.map((memoryClass) => [memoryClass, count("Bytes of this class.")])),
      },
    },
    predicted: {
      type: "object",
      required: ["prefillSeconds", "secondsPerToken"],
      additionalProperties: false,
      properties: {
        prefillSeconds: seconds("Time to the first token."),
        secondsPerToken: seconds("Time of every later token."),
      },
    },
  },
} as const satisfies PlanSchema & { readonly $schema: string; readonly title: string };
