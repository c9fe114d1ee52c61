/// <reference lib="dom" />
/** The form's fields as wishes, and back. */
import type { PlanRequest } from "@thermocline/solver";
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

/** Shows a changed request in the form, and plans anew. */
export function fillIn({ settings = {}, machine, budgets = {} }: PlanRequest): void {
  const set = (id: string, value: string) => {
    element<HTMLInputElement>(id).value = value;
  };
  for (const { id, kind, memoryBytes } of machine.devices) {
    const bytes = Math.max(memoryBytes, budgets[id]?.budgetBytes ?? 0);
    // Up to whole hundredths, or what is enough would be a little less.
    set(kind === "gpu" ? "vram" : "ram", String(Math.ceil((bytes / gib) * 100) / 100));
  }
  if (settings.contextLength !== undefined) set("context", String(settings.contextLength));
  if (settings.keyCacheDType !== undefined) set("kv", settings.keyCacheDType);
  element("vram").dispatchEvent(new Event("change", { bubbles: true }));
}
