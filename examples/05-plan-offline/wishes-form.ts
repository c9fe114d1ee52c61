/// <reference lib="dom" />
/** The form's fields as wishes, and back. */
import { type DType, InvalidRequestError } from "@thermocline/spec";
import type { Wishes } from "./offline-request.js";

const gib = 2 ** 30;

export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/** @throws InvalidRequestError for a field that holds no number. */
export function readWishes(): Wishes {
  const context = element<HTMLInputElement>("context").value.trim();
  const kvDType = element<HTMLSelectElement>("kv").value as DType | "";
  return {
    vramBytes: Math.round(numberIn("vram") * gib),
    ramBytes: Math.round(numberIn("ram") * gib),
    ...(context !== "" && { contextLength: numberIn("context") }),
    ...(kvDType !== "" && { kvDType }),
  };
}

function numberIn(id: string): number {
  const { value, labels } = element<HTMLInputElement>(id);
  const number = Number(value);
  const name = labels?.[0]?.textContent?.trim() ?? id;
  if (value.trim() === "" || !Number.isFinite(number)) throw new InvalidRequestError(id, value, `${name} is "${value}"`, "write a number");
  return number;
}

/** Wishes as the form's fields hold them. */
function fieldsOf({ vramBytes, ramBytes, contextLength, kvDType }: Wishes): Readonly<Record<string, string>> {
  // Up to whole hundredths, or what is enough would be a little less.
  const inGib = (bytes: number) => String(Math.ceil((bytes / gib) * 100) / 100);
  return {
    vram: inGib(vramBytes),
    ram: inGib(ramBytes),
    ...(contextLength !== undefined && { context: String(contextLength) }),
    ...(kvDType !== undefined && { kv: kvDType }),
  };
}

/** "Set GiB of RAM to 46.61". */
export function describeChange(wishes: Wishes): string {
  const changed = Object.entries(fieldsOf(wishes)).filter(([id, value]) => element<HTMLInputElement>(id).value !== value);
  const names = changed.map(([id, value]) => `${element<HTMLInputElement>(id).dataset.wish} to ${value}`);
  return `Set ${names.join(" and ")}`;
}

/** Shows wishes in the form, and asks for a plan. */
export function fillIn(wishes: Wishes): void {
  for (const [id, value] of Object.entries(fieldsOf(wishes))) element<HTMLInputElement>(id).value = value;
  element("vram").dispatchEvent(new Event("change", { bubbles: true }));
}
