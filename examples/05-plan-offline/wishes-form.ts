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

/** Shows wishes in the form, and asks for a plan. */
export function fillIn({ vramBytes, ramBytes, contextLength, kvDType }: Wishes): void {
  const set = (id: string, value: string) => {
    element<HTMLInputElement>(id).value = value;
  };
  // Up to whole hundredths, or what is enough would be a little less.
  const inGib = (bytes: number) => String(Math.ceil((bytes / gib) * 100) / 100);
  set("vram", inGib(vramBytes));
  set("ram", inGib(ramBytes));
  if (contextLength !== undefined) set("context", String(contextLength));
  if (kvDType !== undefined) set("kv", kvDType);
  element("vram").dispatchEvent(new Event("change", { bubbles: true }));
}
