import { type DemandDevice, type DeviceId, InvalidRequestError } from "@thermocline/spec";

/** @throws InvalidRequestError for no device, or two of one name. */
export function checkDevices(devices: readonly DemandDevice[]): void {
  const ids = new Set<DeviceId>();
  for (const { id } of devices) {
    if (ids.has(id)) throw new InvalidRequestError("devices", id, `names ${id} twice`, "give each device an id of its own");
    ids.add(id);
  }
  if (devices.length === 0) throw new InvalidRequestError("devices", [], "is empty", "give at least one device");
}
