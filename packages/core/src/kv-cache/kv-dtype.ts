/** The storage of a device's keys and values. */
import { type BackendTraits, type DeviceId, type DType, dtypes, InvalidRequestError } from "@thermocline/spec";

export interface KvDTypeChoice {
  /** Absent: the device's default. */
  readonly keyCacheDType?: DType;
  readonly valueCacheDType?: DType;
}

/** @throws InvalidRequestError where the device has no caches of the dtype that was asked for, or heads are no whole number of its blocks. */
export function kvDTypeOf(
  device: DeviceId,
  { kvDTypes }: Pick<BackendTraits, "kvDTypes">,
  choice: KvDTypeChoice,
  part: "key" | "value",
  headDim: number,
): DType {
  const parameter = `${part}CacheDType` as const;
  const dtype = choice[parameter] ?? kvDTypes[0]!;
  if (!kvDTypes.includes(dtype))
    throw new InvalidRequestError(parameter, dtype, `is ${dtype}, which ${device} has no caches of`, `use one of ${kvDTypes.join(", ")}`);
  const { blockSize } = dtypes[dtype];
  if (headDim % blockSize !== 0) {
    const fitting = kvDTypes.filter((candidate) => headDim % dtypes[candidate].blockSize === 0);
    throw new InvalidRequestError(
      parameter,
      dtype,
      `is ${dtype}, in blocks of ${blockSize}; a head of this model has ${headDim} elements`,
      `use one of ${fitting.join(", ")}`,
    );
  }
  return dtype;
}
