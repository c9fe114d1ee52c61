/** What it costs that a tensor changes hands. */
import { type DeviceId, InvalidRequestError, type OffloadProblem } from "@thermocline/spec";

type LinkedDevices = Pick<OffloadProblem, "devices" | "links" | "handOverBytesPerToken">;

/**
 * Seconds of a hand-over for so many tokens, by the indices of two devices: [from][to]. Two devices without a link of their own meet by way
 * of the devices that make it shortest.
 * @throws InvalidRequestError where no link leads from one device to another.
 */
export function handOverSeconds({ devices, links, handOverBytesPerToken }: LinkedDevices, tokens: number): readonly (readonly number[])[] {
  const indexOf = new Map<DeviceId, number>(devices.map(({ id }, index) => [id, index]));
  const seconds = devices.map((_, from) => devices.map((_, to) => (from === to ? 0 : Number.POSITIVE_INFINITY)));
  for (const { from, to, bytesPerSecond, latencySeconds } of links) {
    const row = seconds[indexOf.get(from) ?? -1];
    const column = indexOf.get(to);
    if (row === undefined || column === undefined || from === to) continue;
    row[column] = Math.min(row[column]!, latencySeconds + (tokens * handOverBytesPerToken) / bytesPerSecond);
  }
  // Floyd and Warshall's shortest paths.
  for (const via of seconds.keys()) {
    for (const row of seconds) {
      for (const to of row.keys()) row[to] = Math.min(row[to]!, row[via]! + seconds[via]![to]!);
    }
  }
  for (const [from, row] of seconds.entries()) {
    const to = row.findIndex((value) => !Number.isFinite(value));
    if (to < 0) continue;
    const pair = `${devices[from]!.id} to ${devices[to]!.id}`;
    throw new InvalidRequestError("links", pair, `no link leads from ${pair}`, "give the machine profile a link in this direction");
  }
  return seconds;
}
