/** How much of a split layer's work ran side by side, from the stretches that the devices report. */
import type { DeviceId, SubmissionReport } from "@thermocline/spec";
import type { SplitLeg } from "./graph/graph-draft.js";

export class OverlapMeter {
  /** Milliseconds in which a layer's two longest legs both ran, and milliseconds of the shorter of the two, summed over layers and steps. */
  overlappedMs = 0;
  shorterLegMs = 0;

  readonly #legsByLayer: ReadonlyMap<number, readonly SplitLeg[]>;

  constructor(legs: readonly SplitLeg[]) {
    this.#legsByLayer = groupByLayer(legs);
  }

  add(devices: readonly DeviceId[], reports: readonly SubmissionReport[]): void {
    for (const legs of this.#legsByLayer.values()) {
      const intervals = legs.flatMap(({ device, stretch }) => {
        const stretches = reports[devices.indexOf(device)]?.stretches;
        return stretches === undefined ? [] : [{ begin: stretches[2 * stretch]!, end: stretches[2 * stretch + 1]! }];
      });
      const [longest, second] = intervals.sort((a, b) => b.end - b.begin - (a.end - a.begin));
      if (longest === undefined || second === undefined) continue;
      this.shorterLegMs += second.end - second.begin;
      this.overlappedMs += Math.max(0, Math.min(longest.end, second.end) - Math.max(longest.begin, second.begin));
    }
  }
}

function groupByLayer(legs: readonly SplitLeg[]): Map<number, SplitLeg[]> {
  const groups = new Map<number, SplitLeg[]>();
  for (const leg of legs) groups.set(leg.layer, [...(groups.get(leg.layer) ?? []), leg]);
  return groups;
}
