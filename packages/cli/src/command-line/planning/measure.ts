/** The best placements, tried on this machine. */
import { createRankedPlans } from "@thermocline/solver";
import { formatPlanMeasurements } from "../../planning/format-plan-measurements.js";
import { measurePlans } from "../../planning/measure-plans.js";
import { type PlanningSession, readDemandModel, requestFor } from "./planning-session.js";
import { showPlan } from "./show-plan.js";

const numTried = 3;

export async function showMeasured(location: string, session: PlanningSession): Promise<void> {
  const { signal, status, say } = session;
  const request = await requestFor(await readDemandModel(location, session), session);
  const plans = (await createRankedPlans(request)).slice(0, numTried);
  const measurements = await measurePlans(location, plans, {
    signal,
    onProgress: ({ stage, plan, round, numRounds }) => {
      const turn = stage === "opening" ? "opening" : round < 0 ? "reading the context" : `round ${round + 1} of ${numRounds}`;
      status.show(`measuring plan ${plan + 1} of ${plans.length}: ${turn}`);
    },
    onNotice: say,
  });
  status.clear();
  const { winner, measurements: each, ...conditions } = measurements;
  const figures = each.map(({ plan, ...measured }) => ({ strategy: plan.solver?.name, ...measured }));
  await showPlan(winner, session, formatPlanMeasurements(measurements), { ...conditions, measurements: figures, plan: winner });
}
