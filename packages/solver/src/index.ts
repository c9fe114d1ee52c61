export { hypotheticalMachine, type MachineSizes, machineFromPreset, machinePresets } from "./machine/machine-presets.js";
export { parseMachineProfile } from "./machine/parse-machine-profile.js";
export type { PublishedGpu } from "./machine/published-gpus.js";
export type { PublishedLink, PublishedMemory } from "./machine/published-memories.js";
export { parsePlan } from "./plan/parse-plan.js";
export { offloadPlanSchema } from "./plan/plan-schema.js";
export { type PlanTarget, resolvePlan, validatePlan } from "./plan/resolve-plan.js";
export { formatPlan } from "./report/format-plan.js";
export { createSharePlan, type SharePlanOptions } from "./share-plan.js";
