/** Brings a weight from its shard into a buffer: a path is read by the addon's own thread, other shards through `source.read`. */
import assert from "node:assert/strict";
import { getSystemErrorMap } from "node:util";
import {
  type DeviceId,
  FileAccessError,
  InvalidTensorError,
  type LoadOptions,
  type ModelSource,
  type Tensor,
  type TensorInfo,
} from "@thermocline/spec";
import { loadThroughSource } from "./load-through-source.js";
import type { Handle, NativeDevice } from "./native-binding.js";
import { disposedError, type LoadResult, type PendingRequests } from "./pending-requests.js";
import { type WeightSlices, weightSlicesOf } from "./weight-slices.js";

export interface LoadTarget {
  readonly device: DeviceId;
  readonly native: NativeDevice;
  readonly pending: PendingRequests;
  readonly isDisposed: () => boolean;
  readonly buffer: Handle;
  readonly into: Tensor;
}

/** @throws InvalidTensorError, FileAccessError, or the signal's reason. */
export async function loadWeight(target: LoadTarget, source: ModelSource, info: TensorInfo, options: LoadOptions): Promise<void> {
  const { into } = target;
  const slices = weightSlicesOf(info, into.layout, options.slices);
  const fits =
    into.dtype === info.dtype &&
    into.shape.length === slices.shape.length &&
    slices.shape.every((length, axis) => length === into.shape[axis]);
  if (!fits) throw new InvalidTensorError(info.name, `[${into.shape}] in ${into.dtype}`, `[${slices.shape}] in ${info.dtype}`);
  options.signal?.throwIfAborted();
  const shard = source.shards[info.shard];
  assert(shard !== undefined, `${info.name} names shard ${info.shard} of ${source.shards.length}`);
  if (shard.kind === "path") await loadFromPath(target, shard.path, info, slices, options);
  else await loadThroughSource(target, source, info, slices, options);
}

async function loadFromPath(target: LoadTarget, path: string, info: TensorInfo, slices: WeightSlices, options: LoadOptions): Promise<void> {
  const { device, native, pending, buffer, into } = target;
  const { signal, onBytes } = options;
  const id = pending.nextId();
  native.load(id, buffer, into.byteOffset, slices.packed, path, info.range.offset);
  const cancel = () => {
    if (!target.isDisposed()) native.cancelLoad(id);
  };
  signal?.addEventListener("abort", cancel, { once: true });
  let result: LoadResult;
  try {
    result = await pending.load(id, onBytes);
  } catch (error) {
    cancel();
    throw error;
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
  const { offset, byteLength } = info.range;
  switch (result.outcome) {
    case "completed":
      return;
    case "cancelled":
      throw signal?.aborted ? signal.reason : disposedError(device);
    case "truncated":
      throw new InvalidTensorError(info.name, `bytes ${offset} to ${offset + byteLength} of ${path}`, `${result.fileByteLength} bytes`);
    case "open-failed":
      throw new FileAccessError(path, result.errno === 0 ? "is no regular file" : `cannot be opened (${systemError(result.errno)})`);
    case "read-failed":
      throw new FileAccessError(path, `cannot be read (${systemError(result.errno)})`);
  }
}

function systemError(errno: number): string {
  const [code, text] = getSystemErrorMap().get(-errno) ?? [`errno ${errno}`, "unknown error"];
  return `${code}, ${text}`;
}
