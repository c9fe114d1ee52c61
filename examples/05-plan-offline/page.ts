/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** The page: what is chosen goes to the planner, and what comes back is shown. */

import { InvalidRequestError } from "@thermocline/spec";
import type { Answer, Question } from "./messages.js";
import { showCurve, showError, showLongestContext, showPlan } from "./output.js";
import workerSource from "./planning-worker.ts?text";
import { describeChange, element, fillIn, readWishes } from "./wishes-form.js";

// Made of text that the page carries: a page that was opened as a file may start no worker from another file.
const worker = new Worker(URL.createObjectURL(new Blob([workerSource], { type: "text/javascript" })));
let number = 0;
let hasModel = false;

function ask(location?: Question["location"]): void {
  if (location === undefined && !hasModel) return;
  hasModel = true;
  number++;
  document.body.classList.add("busy");
  try {
    worker.postMessage({ number, wishes: readWishes(), ...(location !== undefined && { location }) } satisfies Question);
  } catch (error) {
    if (!(error instanceof InvalidRequestError)) throw error;
    showError(error.message, error.cure);
  }
}

worker.addEventListener("message", ({ data: answer }: MessageEvent<Answer>) => {
  if (answer.number !== number) return;
  document.body.classList.toggle("busy", answer.kind === "plan" || answer.kind === "longest-context");
  if (answer.kind === "plan") showPlan(answer.plan);
  else if (answer.kind === "longest-context") showLongestContext(answer.contextLength);
  else if (answer.kind === "curve") showCurve(answer.points, answer.vramBytes);
  else {
    const { problem, cure, remedy } = answer;
    showError(problem, cure, remedy && { text: describeChange(remedy), apply: () => fillIn(remedy) });
  }
});

const openFiles = (files: FileList | null | undefined) => {
  // Shards of one model bear their numbers in their names.
  const sorted = [...(files ?? [])].sort((a, b) => a.name.localeCompare(b.name));
  if (sorted.length === 0) return;
  element("model").textContent = sorted[0]!.name;
  ask(sorted.length === 1 ? sorted[0]! : sorted);
};

element("file").addEventListener("change", ({ target }) => openFiles((target as HTMLInputElement).files));
element("address").addEventListener("change", ({ target }) => {
  const address = (target as HTMLInputElement).value.trim();
  if (address === "") return;
  element("model").textContent = address;
  ask(address);
});
element("wishes").addEventListener("change", ({ target }) => {
  if ((target as HTMLElement).dataset.wish !== undefined) ask();
});
element("wishes").addEventListener("submit", (event) => event.preventDefault());
for (const name of ["dragover", "dragleave", "drop"] as const)
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", name === "dragover");
    if (name === "drop") openFiles(event.dataTransfer?.files);
  });
