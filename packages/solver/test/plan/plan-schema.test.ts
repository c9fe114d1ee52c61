import type { OffloadPlan } from "@thermocline/spec";
import { describe, expect, it } from "vitest";
import { offloadPlanSchema, parsePlan, validatePlan } from "../../src/index.js";
import { isValid } from "../support/json-schema.js";
import { createRandom, type Random, randomPlan, randomUnits } from "../support/random-plans.js";

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

const jsonOf = (plan: OffloadPlan) => JSON.parse(JSON.stringify(plan)) as { [name: string]: Json };

/** Every place in a document where something can be written. */
function placesIn(value: Json): [container: Json[] | { [name: string]: Json }, key: string | number][] {
  if (typeof value !== "object" || value === null) return [];
  const keys = Array.isArray(value) ? [...value.keys()] : Object.keys(value);
  const container = value as { [name: string]: Json };
  return keys.flatMap((key) => [[container, key] as [{ [name: string]: Json }, string | number], ...placesIn(container[key]!)]);
}

const strangers: readonly Json[] = [
  null,
  true,
  "",
  "cpu:0",
  "q8_0",
  "optimal",
  -1,
  0,
  1,
  0.5,
  1.5,
  1e300,
  2 ** 53,
  Number.MAX_SAFE_INTEGER,
  [],
  {},
  [0, 1],
  [[0, 32]],
];

/** Writes something else, takes something away or adds something, at one place. */
function mutate(random: Random, document: { [name: string]: Json }): void {
  const places = placesIn(document);
  const [container, key] = places[random(places.length)]!;
  const stranger = structuredClone(strangers[random(strangers.length)]!);
  const action = random(4);
  if (Array.isArray(container)) {
    if (action === 0) container.splice(key as number, 1);
    else if (action === 1) container.push(stranger);
    else container[key as number] = stranger;
  } else if (action === 0) delete container[key];
  else if (action === 1) container[["rows", "extra", "cpu:9", "CPU", "weights", "constructor"][random(6)]!] = stranger;
  else container[key] = stranger;
}

function isAccepted(document: unknown): boolean {
  try {
    parsePlan(document);
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: "invalid-plan", subject: expect.any(String), cure: expect.any(String) });
    return false;
  }
}

describe("offloadPlanSchema", () => {
  it("is plain data", () => {
    expect(JSON.parse(JSON.stringify(offloadPlanSchema))).toEqual(offloadPlanSchema);
  });

  it("accepts every valid plan, as the parser does, and plans survive JSON", () => {
    for (let seed = 0; seed < 200; seed++) {
      const random = createRandom(seed);
      const units = randomUnits(random);
      const plan = randomPlan(random, "3f9a1c2b", units);
      expect(isValid(jsonOf(plan), offloadPlanSchema), `seed ${seed}`).toBe(true);
      const read = parsePlan(JSON.stringify(plan));
      expect(read, `seed ${seed}`).toEqual(plan);
      expect(() => validatePlan(read, { model: "3f9a1c2b", units }), `seed ${seed}`).not.toThrow();
    }
  });

  it("says the same of 1,000 changed plans as the parser", () => {
    let accepted = 0;
    for (let seed = 0; seed < 1000; seed++) {
      const random = createRandom(seed + 1000);
      const document = jsonOf(randomPlan(random, "3f9a1c2b", randomUnits(random)));
      for (let change = 0; change <= random(2); change++) mutate(random, document);
      const verdict = isValid(document, offloadPlanSchema);
      expect(isAccepted(document), `seed ${seed}: ${JSON.stringify(document)}`).toBe(verdict);
      if (verdict) accepted++;
    }
    expect(accepted).toBeGreaterThan(100);
    expect(accepted).toBeLessThan(900);
  });
});
