/** Storage types of keys and values that a request can choose from. */
import { type DType, dtypes } from "@thermocline/spec";
import type { PlanRequest } from "./plan-request.js";

/** Bytes of one stored element, scales included. */
export function bytesPerElement(dtype: DType): number {
  const { blockBytes, blockSize } = dtypes[dtype];
  return blockBytes / blockSize;
}

/** That any device of the machine has, largest first; of types as large as each other the one that devices name first. */
export function kvTypesOf({ machine, traits }: Pick<PlanRequest, "machine" | "traits">): readonly DType[] {
  const types = new Set(machine.devices.flatMap(({ backend }) => traits[backend]?.kvDTypes ?? []));
  return [...types].sort((a, b) => bytesPerElement(b) - bytesPerElement(a));
}
