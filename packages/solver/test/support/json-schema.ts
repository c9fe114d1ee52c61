/** JSON Schema by the text of draft 2020-12, as far as plans use it; it shares nothing with `parsePlan`. */

type Schema = Readonly<Record<string, unknown>>;

/** What a keyword demands of a value, as the draft words it: a keyword says nothing of values of other types. */
const keywords: Readonly<Record<string, (argument: never, value: unknown, schema: Schema) => boolean>> = {
  type: (wanted: string, value) =>
    wanted === "integer"
      ? typeof value === "number" && Number.isInteger(value)
      : wanted === "array"
        ? Array.isArray(value)
        : wanted === "object"
          ? isObject(value)
          : wanted === "null"
            ? value === null
            : typeof value === wanted,
  const: (wanted: unknown, value) => value === wanted,
  enum: (values: readonly unknown[], value) => values.includes(value),
  minimum: (least: number, value) => typeof value !== "number" || value >= least,
  maximum: (most: number, value) => typeof value !== "number" || value <= most,
  minLength: (least: number, value) => typeof value !== "string" || [...value].length >= least,
  minItems: (least: number, value) => !Array.isArray(value) || value.length >= least,
  maxItems: (most: number, value) => !Array.isArray(value) || value.length <= most,
  minProperties: (least: number, value) => !isObject(value) || Object.keys(value).length >= least,
  required: (names: readonly string[], value) => !isObject(value) || names.every((name) => Object.hasOwn(value, name)),
  properties: (schemas: Readonly<Record<string, Schema>>, value) =>
    !isObject(value) || Object.entries(value).every(([name, item]) => !Object.hasOwn(schemas, name) || isValid(item, schemas[name]!)),
  additionalProperties: (rest: boolean | Schema, value, { properties = {} }) =>
    !isObject(value) || Object.entries(value).every(([name, item]) => Object.hasOwn(properties as object, name) || isValid(item, rest)),
  propertyNames: (names: Schema, value) => !isObject(value) || Object.keys(value).every((name) => isValid(name, names)),
  pattern: (source: string, value) => typeof value !== "string" || new RegExp(source, "u").test(value),
  prefixItems: (schemas: readonly Schema[], value) =>
    !Array.isArray(value) || schemas.every((schema, index) => index >= value.length || isValid(value[index], schema)),
  items: (rest: Schema, value, { prefixItems = [] }) =>
    !Array.isArray(value) || value.slice((prefixItems as readonly unknown[]).length).every((item) => isValid(item, rest)),
};

const annotations = new Set(["$schema", "title", "description"]);

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @throws Error for a keyword that is not known here, so that none is passed over. */
export function isValid(value: unknown, schema: boolean | Schema): boolean {
  if (typeof schema === "boolean") return schema;
  return Object.entries(schema).every(([keyword, argument]) => {
    if (annotations.has(keyword)) return true;
    const check = keywords[keyword];
    if (check === undefined) throw new Error(`${keyword} is not known`);
    return check(argument as never, value, schema);
  });
}
