/** From JSON to an `OffloadPlan`: structure only. Whether the plan fits a model is `resolvePlan`'s question. */
import { InvalidPlanError, type OffloadPlan } from "@thermocline/spec";
import { offloadPlanSchema, type PlanSchema } from "./plan-schema.js";

/**
 * Reads a plan from JSON text, or checks a value that was parsed already. The value is returned as it is, not copied.
 * @throws InvalidPlanError whose `subject` is the path of the field at fault, such as `units[3].rows[0]`.
 */
export function parsePlan(json: unknown): OffloadPlan {
  const value = typeof json === "string" ? parseJson(json) : json;
  refuseOtherVersion(value);
  check(value, offloadPlanSchema, "");
  return value as OffloadPlan;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidPlanError("text", `is no JSON (${(error as Error).message})`, "correct the syntax, or write the plan again");
  }
}

// Before everything else: a plan of another version may differ anywhere, and its version is what the reader must be told.
function refuseOtherVersion(value: unknown): void {
  const version = (value as { readonly version?: unknown } | null | undefined)?.version;
  if (typeof version === "number" && version !== offloadPlanSchema.properties.version.const)
    throw new InvalidPlanError("version", `is ${version}`, "this release reads version 1; make the plan again with it");
}

function check(value: unknown, schema: PlanSchema, path: string): void {
  const subject = path === "" ? "document" : path;
  const refuse = (problem: string, cure: string): never => {
    throw new InvalidPlanError(subject, problem, cure);
  };
  const wanted = schema.description === undefined ? "" : ` (${schema.description.replace(/\.$/, "")})`;
  const found = kindOf(value);
  const hasType = schema.type === "integer" ? Number.isSafeInteger(value) : found === schema.type;
  if (!hasType) refuse(`is ${describe(value)}`, `write ${article(schema.type)}${wanted}`);
  if (schema.const !== undefined && value !== schema.const) refuse(`is ${describe(value)}`, `write ${schema.const}`);
  if (found === "number") {
    if (!Number.isFinite(value)) refuse(`is ${value}`, "write a finite number");
    if (schema.minimum !== undefined && (value as number) < schema.minimum)
      refuse(`is ${value}`, `write a number of at least ${schema.minimum}${wanted}`);
    if (schema.maximum !== undefined && (value as number) > schema.maximum)
      refuse(`is ${value}`, `write a number of at most ${schema.maximum}${wanted}`);
  }
  if (found === "string" && (value as string).length < (schema.minLength ?? 0)) refuse("is empty", `write a name${wanted}`);
  if (schema.enum !== undefined && !schema.enum.includes(value as string))
    refuse(`is ${describe(value)}`, `write one of ${schema.enum.join(", ")}${wanted}`);
  if (found === "array") checkArray(value as readonly unknown[], schema, path, refuse);
  if (found === "object") checkObject(value as Readonly<Record<string, unknown>>, schema, path, refuse);
}

type Refuse = (problem: string, cure: string) => never;

function checkArray(values: readonly unknown[], schema: PlanSchema, path: string, refuse: Refuse): void {
  const { minItems = 0, maxItems = Number.POSITIVE_INFINITY, items, prefixItems } = schema;
  if (values.length < minItems || values.length > maxItems) {
    const wanted = minItems === maxItems ? `${minItems}` : `at least ${minItems}`;
    refuse(
      `has ${values.length} ${values.length === 1 ? "element" : "elements"}`,
      `write ${wanted}${minItems === 1 ? ", or leave the field out" : ""}`,
    );
  }
  for (const [index, value] of values.entries()) {
    const schemaOfItem = prefixItems?.[index] ?? items;
    if (schemaOfItem !== undefined) check(value, schemaOfItem, `${path}[${index}]`);
  }
}

function checkObject(object: Readonly<Record<string, unknown>>, schema: PlanSchema, path: string, refuse: Refuse): void {
  const { required = [], properties = {}, propertyNames, additionalProperties, minProperties = 0 } = schema;
  // A field that is `undefined` is absent: JSON has no such value, and object literals in code may carry it.
  const fields = Object.entries(object).filter(([, value]) => value !== undefined);
  for (const name of required) if (object[name] === undefined) refuse(`lacks "${name}"`, `add it${descriptionOf(properties[name])}`);
  if (fields.length < minProperties) refuse("is empty", `write at least ${minProperties} entry`);
  for (const [name, value] of fields) {
    if (propertyNames !== undefined && !new RegExp(propertyNames.pattern).test(name))
      refuse(`has the key ${JSON.stringify(name)}, which is no device id`, 'write ids as kind and index, such as "cpu:0"');
    const schemaOfField = Object.hasOwn(properties, name) ? properties[name] : additionalProperties;
    if (!schemaOfField)
      refuse(`has the unknown field ${JSON.stringify(name)}`, `remove or rename it; known are ${Object.keys(properties).join(", ")}`);
    else check(value, schemaOfField, propertyNames === undefined ? `${path}${path === "" ? "" : "."}${name}` : `${path}["${name}"]`);
  }
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

function describe(value: unknown): string {
  const kind = kindOf(value);
  if (kind === "string" || kind === "number" || kind === "boolean") return JSON.stringify(value) ?? String(value);
  return kind === "null" || kind === "undefined" ? kind : article(kind);
}

function article(noun: string): string {
  return `${/^[aeiou]/.test(noun) ? "an" : "a"} ${noun}`;
}

function descriptionOf(schema: PlanSchema | undefined): string {
  return schema?.description === undefined ? "" : `: ${schema.description.replace(/\.$/, "")}`;
}
