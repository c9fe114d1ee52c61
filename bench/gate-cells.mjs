/** The cells of the gate: which model with which budget at which depth, and how each strategy places it there. */
import { existsSync } from "node:fs";
import path from "node:path";
import { listOffloadUnits, placeOnOneDevice, readModelConfig } from "@thermocline/core";
import { createDemandModel } from "@thermocline/core/demand";
import { createPlan, resolvePlan } from "@thermocline/solver";
import { InvalidRequestError, ThermoclineError } from "@thermocline/spec";
import { cacheFolder } from "./cache-folder.mjs";
import { modelShapes, writeRandomModel } from "./write-random-model.mjs";

/** @typedef {import("@thermocline/spec").Backend} Backend */
/** @typedef {import("@thermocline/spec").MachineProfile} MachineProfile */
/** @typedef {import("@thermocline/spec").ModelSource} ModelSource */
/** @typedef {import("@thermocline/spec").OffloadPlan} OffloadPlan */
/** @typedef {import("@thermocline/spec").Placement} Placement */
/** @typedef {import("@thermocline/spec").Workload} Workload */
/** @typedef {keyof typeof modelShapes} ShapeName */

export const strategies = /** @type {const} */ (["plan", "whole-layer", "ffn-first"]);
/** @typedef {(typeof strategies)[number]} Strategy */

export const fastDevice = "cpu:0";
export const slowDevice = "cpu:1";

const contextLength = 8192;

/**
 * A model of a shape, with a context that is long enough to be measured at depths: it is read at positions of which its weights know nothing.
 * @param {ShapeName} shape
 */
export async function gateModelPath(shape) {
  if (!Object.hasOwn(modelShapes, shape))
    throw new InvalidRequestError("--models", shape, `has no shape ${shape}`, `use ${Object.keys(modelShapes).join(", ")}`);
  const target = path.join(cacheFolder(), `random-${shape}-${contextLength}-q4_0.gguf`);
  if (!existsSync(target)) await writeRandomModel({ path: target, shape: { ...modelShapes[shape], contextLength } });
  return target;
}

/**
 * Settings that hold the workload and no more, so that budgets are about it.
 * @param {Workload} workload
 */
export function settingsFor({ promptTokens, outputTokens, contextDepth }) {
  return { contextLength: Math.ceil((contextDepth + promptTokens + outputTokens + 1) / 32) * 32, maxBatchTokens: promptTokens };
}

/**
 * How each strategy places the model where the fast device may take this share of what it takes alone.
 * @param {object} cell
 * @param {ModelSource} cell.source
 * @param {MachineProfile} cell.machine
 * @param {readonly Backend[]} cell.backends
 * @param {number} cell.share
 * @param {Workload} cell.workload
 */
export async function placeCell({ source, machine, backends, share, workload }) {
  const demandModel = createDemandModel(source);
  const settings = settingsFor(workload);
  const units = listOffloadUnits(source, readModelConfig(source));
  const devices = backends.map(({ device, traits }) => ({ id: device.id, traits }));
  const alone = demandModel.bytesOf(devices, settings, placeOnOneDevice(units, fastDevice));
  const aloneBytes = alone.reduce((sum, { byteLength }) => sum + byteLength, 0);
  // Everything fits on the slow device, and what is needed twice because there are two.
  const budgets = { [fastDevice]: { budgetBytes: Math.floor(share * aloneBytes) }, [slowDevice]: { budgetBytes: 2 * aloneBytes } };
  const [{ traits }] = backends;
  const request = { demandModel, machine, traits: { [traits.kind]: traits }, settings, workload, budgets };
  /** @type {{ strategy: Strategy, plan: OffloadPlan, placement: Placement }[]} */
  const placed = [];
  for (const strategy of strategies) {
    try {
      const plan = await createPlan({ ...request, strategy });
      placed.push({ strategy, plan, placement: resolvePlan(plan, { model: source.identity, units }) });
    } catch (error) {
      // A rival that finds no place for the model is none.
      if (strategy === "plan" || !ThermoclineError.isInstance(error) || error.code !== "infeasible-plan") throw error;
    }
  }
  return { settings, aloneBytes, budgets, placed };
}
