/**
 * Host memory that holds file rows on their way to where a weight will lie. It is reserved with everything else, so that a load that begins
 * can end, and given back once the weights are there.
 */
import type { DeviceId } from "@thermocline/spec";
import type { GraphDraft } from "./graph-draft.js";

/** Names these reservations. */
export const loadStagingLabel = "weights being loaded";

/** What one device's loads, which run one after the other, take. */
export interface DeviceLoading {
  readonly device: DeviceId;
  readonly readsHostMemory: boolean;
  readonly byteLength: number;
}

/** The most that a weight on the device takes. */
export function loadStagingOf({ weights }: Pick<GraphDraft, "weights">, device: DeviceId): number {
  let most = 0;
  for (const use of weights.values()) if (use.device === device) most = Math.max(most, use.loadStagingByteLength);
  return most;
}

/**
 * What is booked on each device: all load at the same time. Those that do not compute from host memory have theirs where the host memory that
 * all share is booked.
 */
export function loadStagingByHolder(loading: readonly DeviceLoading[], hostMemoryOwner: DeviceId): ReadonlyMap<DeviceId, number> {
  const bytes = new Map<DeviceId, number>();
  for (const { device, readsHostMemory, byteLength } of loading) {
    const holder = readsHostMemory ? device : hostMemoryOwner;
    bytes.set(holder, (bytes.get(holder) ?? 0) + byteLength);
  }
  return bytes;
}

/** What is booked on a device at most, whichever of the others has a part of the model: any one may carry what they share. */
export function mostLoadStagingOn(device: DeviceId, loading: readonly DeviceLoading[]): number {
  return loading.reduce((sum, other) => (other.device === device || !other.readsHostMemory ? sum + other.byteLength : sum), 0);
}
