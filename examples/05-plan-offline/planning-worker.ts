/// <reference lib="webworker" />
/** Plans beside the page, so that the page stays awake. The last question counts: answers to older ones are not finished. */
import { type GgufSource, openGguf } from "@thermocline/loader-gguf";
import { applyRemedy, budgetCurve, createPlan, largestContext, type PlanRequest } from "@thermocline/solver";
import { InfeasiblePlanError, ThermoclineError } from "@thermocline/spec";
import type { Answer, Question } from "./messages.js";
import { offlineRequest, type Wishes } from "./offline-request.js";

type Facts = Answer extends infer Each ? (Each extends Answer ? Omit<Each, "number"> : never) : never;

let source: GgufSource | undefined;
let latest = 0;

addEventListener("message", async ({ data }: MessageEvent<Question>) => {
  const { number, location, wishes } = data;
  latest = number;
  const answer = (facts: Facts) => postMessage({ number, ...facts });
  /** Lets newer questions come in. */
  const isStale = async () => {
    await new Promise((resolve) => setTimeout(resolve));
    return latest !== number;
  };
  let request: PlanRequest | undefined;
  try {
    if (location !== undefined) {
      const opened = await openGguf(location);
      if (await isStale()) return void (await opened[Symbol.asyncDispose]());
      await source?.[Symbol.asyncDispose]();
      source = opened;
    }
    if (source === undefined || (await isStale())) return;
    request = offlineRequest(source, wishes);
    answer({ kind: "plan", plan: await createPlan(request) });
    if (await isStale()) return;
    answer({ kind: "longest-context", contextLength: (await largestContext(request)).contextLength });
    if (await isStale()) return;
    answer({ kind: "curve", points: await curveOf(request, wishes), vramBytes: wishes.vramBytes });
  } catch (error) {
    answer({ kind: "error", ...wordsOf(error), ...(request && remedyOf(error, request)) });
  }
});

/** Predicted speeds over sizes of VRAM around the one wished for; empty without a GPU. */
async function curveOf(request: PlanRequest, { vramBytes }: Wishes) {
  if (vramBytes === 0) return [];
  const gib = 2 ** 30;
  const sizes = [1 / 4, 1 / 2, 1, 3 / 2, 2, 3].map((factor) => Math.round((factor * vramBytes) / gib) * gib || vramBytes);
  const points = await budgetCurve(request, "cuda:0", [...sizes, vramBytes]);
  return points.map(({ bytes, tokensPerSecond }) => ({ bytes, ...(tokensPerSecond !== undefined && { tokensPerSecond }) }));
}

function wordsOf(error: unknown): { readonly problem: string; readonly cure: string } {
  if (!ThermoclineError.isInstance(error)) return { problem: String(error), cure: "" };
  return { problem: error.message.slice(0, error.message.length - error.cure.length - 2), cure: error.cure };
}

/** The wishes with one change, which has been tried and fits. */
function remedyOf(error: unknown, request: PlanRequest): { readonly remedy?: Wishes } {
  if (!(error instanceof InfeasiblePlanError) || error.remedy === undefined) return {};
  const { settings = {}, machine, budgets = {} } = applyRemedy(request, error.remedy);
  const bytesOf = (kind: "cpu" | "gpu") => {
    const device = machine.devices.find((candidate) => candidate.kind === kind);
    return device === undefined ? 0 : Math.max(device.memoryBytes, budgets[device.id]?.budgetBytes ?? 0);
  };
  const { contextLength, keyCacheDType } = settings;
  const wishes: Wishes = {
    vramBytes: bytesOf("gpu"),
    ramBytes: bytesOf("cpu"),
    ...(contextLength !== undefined && { contextLength }),
    ...(keyCacheDType !== undefined && { kvDType: keyCacheDType }),
  };
  return { remedy: wishes };
}
