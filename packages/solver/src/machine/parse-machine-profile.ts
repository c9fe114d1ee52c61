/** From JSON to a `MachineProfile`: every field is there, has its type and its sign, and links join devices that exist. */
import {
  dtypes,
  InvalidMachineProfileError,
  type MachineDevice,
  type MachineLink,
  type MachineMeasurement,
  type MachineProfile,
} from "@thermocline/spec";

type Check = (value: unknown, path: string) => void;
/** A field whose check is in a list of one may be absent. */
type Fields = Readonly<Record<string, Check | readonly [Check]>>;

const deviceIdPattern = /^[a-z][a-z0-9-]*:[0-9]+$/;

/**
 * Reads a profile from JSON text, or checks a value that was parsed already. The value is returned as it is, not copied.
 * @throws InvalidMachineProfileError whose `subject` is the path of the field at fault, such as `devices[0].rates.kvBytesPerSecond`.
 */
export function parseMachineProfile(json: unknown): MachineProfile {
  const value = typeof json === "string" ? parseJson(json) : json;
  const version = (value as { readonly version?: unknown } | null | undefined)?.version;
  if (typeof version === "number" && version !== 1)
    refuse("version", `is ${version}`, "this release reads version 1; measure the machine again with `thermocline doctor --calibrate`");
  checkProfile(value, "");
  const profile = value as MachineProfile;
  checkDevices(profile);
  checkLinks(profile);
  return profile;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    return refuse("text", `is no JSON (${(error as Error).message})`, "correct the syntax, or measure the machine again");
  }
}

function refuse(path: string, problem: string, cure: string): never {
  throw new InvalidMachineProfileError(path === "" ? "document" : path, problem, cure);
}

const text: Check = (value, path) => {
  if (typeof value !== "string" || value === "") refuse(path, `is ${describe(value)}`, "write a text that is not empty");
};

function number(wanted: string, isGood: (value: number) => boolean): Check {
  return (value, path) => {
    if (typeof value !== "number" || !Number.isFinite(value) || !isGood(value)) refuse(path, `is ${describe(value)}`, `write ${wanted}`);
  };
}

const rate = number("a number above 0", (value) => value > 0);
const seconds = number("a number of seconds from 0 on", (value) => value >= 0);
const bytes = number("a whole number of bytes from 0 on", (value) => value >= 0 && Number.isSafeInteger(value));
const count = number("a whole number from 1 on", (value) => value >= 1 && Number.isSafeInteger(value));

const only =
  (...values: readonly (string | number)[]): Check =>
  (value, path) => {
    if (!values.includes(value as string)) refuse(path, `is ${describe(value)}`, `write ${values.join(" or ")}`);
  };

const list =
  (check: Check): Check =>
  (value, path) => {
    if (!Array.isArray(value)) return refuse(path, `is ${describe(value)}`, "write an array");
    for (const [index, item] of value.entries()) check(item, `${path}[${index}]`);
  };

function object(fields: Fields): Check {
  return (value, path) => {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return refuse(path, `is ${describe(value)}`, `write an object with ${Object.keys(fields).join(", ")}`);
    const entries = value as Readonly<Record<string, unknown>>;
    for (const name of Object.keys(entries))
      if (!Object.hasOwn(fields, name))
        refuse(path, `has the unknown field ${JSON.stringify(name)}`, `remove or rename it; known are ${Object.keys(fields).join(", ")}`);
    for (const [name, field] of Object.entries(fields)) {
      const found = entries[name];
      const isOptional = typeof field !== "function";
      if (found === undefined && isOptional) continue;
      if (found === undefined) refuse(path, `lacks "${name}"`, "add it");
      const check = isOptional ? field[0] : field;
      check(found, path === "" ? name : `${path}.${name}`);
    }
  };
}

const rateByDType = object({
  other: rate,
  ...Object.fromEntries(Object.keys(dtypes).map((dtype) => [dtype, [rate] as const])),
});

const checkProfile = object({
  version: only(1),
  name: text,
  source: text,
  date: [text],
  devices: list(
    object({
      id: text,
      kind: only("cpu", "gpu"),
      backend: text,
      threads: [count],
      name: text,
      memoryBytes: bytes,
      memoryBytesPerSecond: rate,
      contextBytes: bytes,
      rates: object({
        weightBytesPerSecond: rateByDType,
        operationsPerSecond: rateByDType,
        kvBytesPerSecond: rate,
        attentionOperationsPerSecond: rate,
        commandSeconds: seconds,
      } satisfies Record<keyof MachineDevice["rates"], Check>),
    } satisfies Record<keyof MachineDevice, Check | readonly [Check]>),
  ),
  links: list(object({ from: text, to: text, bytesPerSecond: rate, latencySeconds: seconds } satisfies Record<keyof MachineLink, Check>)),
  measurements: [
    list(
      object({ subject: text, quantity: text, value: seconds, least: seconds, most: seconds, numSamples: count } satisfies Record<
        keyof MachineMeasurement,
        Check
      >),
    ),
  ],
  assumptions: [list(text)],
} satisfies Record<keyof MachineProfile, Check | readonly [Check]>);

function checkDevices({ devices }: MachineProfile): void {
  if (devices.length === 0) refuse("devices", "is empty", "write at least one device");
  const known = new Set<string>();
  for (const [index, { id, memoryBytes, contextBytes }] of devices.entries()) {
    const path = `devices[${index}]`;
    if (!deviceIdPattern.test(id)) refuse(`${path}.id`, `is ${describe(id)}`, 'write kind and index, such as "cpu:0"');
    if (known.has(id)) refuse(`${path}.id`, `is ${describe(id)} again`, "give each device an id of its own");
    if (contextBytes > memoryBytes) refuse(`${path}.contextBytes`, `is more than memoryBytes, ${memoryBytes}`, "write less");
    known.add(id);
  }
}

function checkLinks({ devices, links }: MachineProfile): void {
  const known = devices.map(({ id }) => id);
  const joined = new Set<string>();
  for (const [index, { from, to }] of links.entries()) {
    const path = `links[${index}]`;
    for (const [end, id] of Object.entries({ from, to }))
      if (!known.includes(id)) refuse(`${path}.${end}`, `names ${describe(id)}, which is no device`, `write one of ${known.join(", ")}`);
    if (from === to) refuse(path, `joins ${from} to itself`, "remove it");
    if (joined.has(`${from} ${to}`)) refuse(path, `joins ${from} to ${to} again`, "keep one link in each direction");
    joined.add(`${from} ${to}`);
  }
}

function describe(value: unknown): string {
  if (value === null || ["string", "number", "boolean"].includes(typeof value)) return JSON.stringify(value) ?? String(value);
  if (value === undefined) return "undefined";
  return Array.isArray(value) ? "an array" : "an object";
}
