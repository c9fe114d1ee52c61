/// <reference lib="dom" />
/** The page's answers: the map, all figures as text, the longest context and a curve over sizes of VRAM. */
import { type BudgetPoint, drawPlan, explainPlan } from "@thermocline/solver";
import type { OffloadPlan } from "@thermocline/spec";
import { element } from "./wishes-form.js";

const gib = 2 ** 30;

export function showPlan(plan: OffloadPlan): void {
  document.body.dataset.state = "plan";
  element("longest").textContent = "…";
  element("curve").replaceChildren();
  const svg = drawPlan(plan);
  element("map").innerHTML = svg;
  element("figures").textContent = explainPlan(plan);
  offer("save-map", "map.svg", "image/svg+xml", svg);
  offer("save-plan", "plan.json", "application/json", JSON.stringify(plan, undefined, 2));
}

function offer(id: string, name: string, type: string, text: string): void {
  const link = element<HTMLAnchorElement>(id);
  URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
}

export function showLongestContext(contextLength: number): void {
  element("longest").textContent = `${contextLength.toLocaleString("en")} tokens`;
}

/** A row with a bar for each size of VRAM; without a GPU there are none. */
export function showCurve(points: readonly Pick<BudgetPoint, "bytes" | "tokensPerSecond">[], vramBytes: number): void {
  const fastest = Math.max(...points.map(({ tokensPerSecond = 0 }) => tokensPerSecond));
  const rows = points.map(({ bytes, tokensPerSecond }) => {
    const row = document.createElement("tr");
    row.classList.toggle("chosen", bytes === vramBytes);
    row.insertCell().textContent = `${Number((bytes / gib).toFixed(2))} GiB`;
    const bar = document.createElement("span");
    bar.style.width = `${((tokensPerSecond ?? 0) / fastest) * 100}%`;
    row.insertCell().append(bar);
    row.insertCell().textContent = tokensPerSecond === undefined ? "does not fit" : rateOf(tokensPerSecond);
    return row;
  });
  element("curve").replaceChildren(...rows);
  element("curve-answer").hidden = rows.length === 0;
}

function rateOf(tokensPerSecond: number): string {
  const digits = tokensPerSecond < 100 ? 1 : 0;
  return `${tokensPerSecond.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })} tokens/s`;
}

export function showError(problem: string, cure: string, remedy?: { readonly text: string; readonly apply: () => void }): void {
  document.body.dataset.state = "error";
  element("problem").textContent = sentenceOf(problem);
  element("cure").textContent = sentenceOf(cure);
  const button = element<HTMLButtonElement>("apply");
  button.hidden = remedy === undefined;
  button.textContent = remedy?.text ?? "";
  button.onclick = () => remedy?.apply();
}

/** Errors count single bytes; of many, people read gibibytes. */
function sentenceOf(clause: string): string {
  if (clause === "") return "";
  const readable = clause.replace(/\b(\d{8,}) bytes/g, (_, bytes) => `${(Number(bytes) / gib).toFixed(2)} GiB`);
  return `${readable.charAt(0).toUpperCase()}${readable.slice(1)}.`;
}
