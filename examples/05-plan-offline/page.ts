/// <reference lib="dom" />
/** The page: what is chosen goes to the planner, and what comes back is shown. */
import { type GgufSource, openGguf } from "@thermocline/loader-gguf";
import { applyRemedy, createPlan, describeRemedy, type PlanRequest } from "@thermocline/solver";
import { InfeasiblePlanError, ThermoclineError } from "@thermocline/spec";
import { offlineRequest } from "./offline-request.js";
import { showAnswers, showError, showPlan } from "./output.js";
import { element, fillIn, readWishes } from "./wishes-form.js";

let source: GgufSource | undefined;
/** Of the plan that is being made: a newer wish puts an end to it. */
let current = new AbortController();

async function open(location: Parameters<typeof openGguf>[0], name: string): Promise<void> {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  element("model").textContent = `Reading the header of ${name} …`;
  try {
    const opened = await openGguf(location, { signal });
    await source?.[Symbol.asyncDispose]();
    source = opened;
    element("model").textContent = name;
    await plan();
  } catch (error) {
    if (signal.aborted) return;
    element("model").textContent = "No model yet.";
    showError(...wordsOf(error));
  }
}

async function plan(): Promise<void> {
  if (source === undefined) return;
  current.abort();
  current = new AbortController();
  const { signal } = current;
  let request: PlanRequest | undefined;
  try {
    request = { ...offlineRequest(source, readWishes()), signal };
    const made = await createPlan(request);
    if (signal.aborted) return;
    showPlan(made);
    await showAnswers(request);
  } catch (error) {
    if (signal.aborted) return;
    const remedy = error instanceof InfeasiblePlanError ? error.remedy : undefined;
    const asked = request;
    const cure = remedy && asked && { text: `Do that: ${describeRemedy(remedy)}`, apply: () => fillIn(applyRemedy(asked, remedy)) };
    showError(...wordsOf(error), cure);
  }
}

function wordsOf(error: unknown): [problem: string, cure: string] {
  if (!ThermoclineError.isInstance(error)) return [String(error), ""];
  return [error.message.slice(0, error.message.length - error.cure.length - 2), error.cure];
}

const openFiles = (files: FileList | null | undefined) => {
  // Shards of one model bear their numbers in their names.
  const sorted = [...(files ?? [])].sort((a, b) => a.name.localeCompare(b.name));
  if (sorted.length > 0) void open(sorted.length === 1 ? sorted[0]! : sorted, sorted[0]!.name);
};

element("file").addEventListener("change", (event) => openFiles((event.target as HTMLInputElement).files));
element("address").addEventListener("change", ({ target }) => {
  const address = (target as HTMLInputElement).value.trim();
  if (address !== "") void open(address, address);
});
element("wishes").addEventListener("change", (event) => {
  if ((event.target as HTMLElement).dataset.wish !== undefined) void plan();
});
element("wishes").addEventListener("submit", (event) => event.preventDefault());
for (const name of ["dragover", "dragleave", "drop"] as const)
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", name === "dragover");
    if (name === "drop") openFiles(event.dataTransfer?.files);
  });
