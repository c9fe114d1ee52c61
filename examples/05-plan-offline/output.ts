/// <reference lib="dom" />
/** The page's answers: the map, all figures as text, the longest context and a curve over sizes of VRAM. */
import { budgetCurve, drawPlan, explainPlan, largestContext, type PlanRequest } from "@thermocline/solver";
import type { OffloadPlan } from "@thermocline/spec";
import { element } from "./wishes-form.js";

const gib = 2 ** 30;

export function showPlan(plan: OffloadPlan): void {
  document.body.dataset.state = "plan";
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

/** One answer after the other, so that the map is seen before the questions are thought about. */
export async function showAnswers(request: PlanRequest): Promise<void> {
  element("longest").textContent = "…";
  element("curve").replaceChildren();
  await nextFrame();
  const { contextLength } = await largestContext(request);
  if (request.signal?.aborted) return;
  element("longest").textContent = `${contextLength.toLocaleString("en")} tokens`;
  const gpu = request.machine.devices.find(({ kind }) => kind === "gpu");
  if (gpu === undefined) return;
  const sizes = [1 / 4, 1 / 2, 1, 3 / 2, 2, 3].map((factor) => Math.round((factor * gpu.memoryBytes) / gib) * gib || gpu.memoryBytes);
  const points = await budgetCurve(request, gpu.id, [...sizes, gpu.memoryBytes]);
  if (request.signal?.aborted) return;
  const fastest = Math.max(...points.map(({ tokensPerSecond = 0 }) => tokensPerSecond));
  element("curve").replaceChildren(
    ...points.map(({ bytes, tokensPerSecond }) => {
      const row = document.createElement("tr");
      row.classList.toggle("chosen", bytes === gpu.memoryBytes);
      const bar = document.createElement("span");
      bar.style.width = `${((tokensPerSecond ?? 0) / fastest) * 100}%`;
      const cells = [
        `${Number((bytes / gib).toFixed(2))} GiB`,
        "",
        tokensPerSecond === undefined ? "does not fit" : rateOf(tokensPerSecond),
      ];
      for (const [index, text] of cells.entries()) {
        const cell = row.insertCell();
        if (index === 1) cell.append(bar);
        else cell.textContent = text;
      }
      return row;
    }),
  );
}

function rateOf(tokensPerSecond: number): string {
  const digits = tokensPerSecond < 100 ? 1 : 0;
  return `${tokensPerSecond.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })} tokens/s`;
}

function nextFrame(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 30));
}

export function showError(problem: string, cure: string, remedy?: { readonly text: string; readonly apply: () => void }): void {
  document.body.dataset.state = "error";
  element("problem").textContent = `${problem.charAt(0).toUpperCase()}${problem.slice(1)}.`;
  element("cure").textContent = cure === "" ? "" : `${cure.charAt(0).toUpperCase()}${cure.slice(1)}.`;
  const button = element<HTMLButtonElement>("apply");
  button.hidden = remedy === undefined;
  button.textContent = remedy?.text ?? "";
  button.onclick = () => remedy?.apply();
}
