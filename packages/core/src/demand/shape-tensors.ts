/** The tensor table by layer. */
import { InvalidTensorError, type TensorInfo } from "@thermocline/spec";
import type { ArchitectureMetadata } from "../config/architecture-metadata.js";

export type LayerTensors = ReadonlyMap<string, TensorInfo>;

export interface TensorsByLayer {
  /** By their names without "blk.N."; none is empty. */
  readonly layers: readonly LayerTensors[];
  readonly others: readonly TensorInfo[];
}

const layerTensor = /^blk\.(\d+)\.(.+)$/;

/** @throws InvalidTensorError where a layer has no tensors, or a tensor's layer is beyond the file's `block_count`. */
export function groupByLayer({ source, architecture }: ArchitectureMetadata, numLayers: number): TensorsByLayer {
  const layers = Array.from({ length: numLayers }, () => new Map<string, TensorInfo>());
  const others: TensorInfo[] = [];
  for (const info of source.tensors.values()) {
    const match = layerTensor.exec(info.name);
    if (match === null) {
      others.push(info);
      continue;
    }
    const layer = layers[Number(match[1])];
    if (layer === undefined) throw new InvalidTensorError(info.name, `a layer below ${architecture}.block_count, ${numLayers}`, match[1]!);
    layer.set(match[2]!, info);
  }
  const empty = layers.findIndex(({ size }) => size === 0);
  if (empty >= 0) throw new InvalidTensorError(`blk.${empty}.*`, `tensors of each of ${numLayers} layers`, "none");
  return { layers, others };
}

/** The rows of a layer's matrix: the elements that it gives for each token; undefined where the layer has no such matrix. */
export function rowsOf(tensors: LayerTensors, name: string): number | undefined {
  const info = tensors.get(`${name}.weight`);
  if (info === undefined) return undefined;
  if (info.shape.length === 2) return info.shape[0]!;
  throw new InvalidTensorError(info.name, "a matrix", `shape [${info.shape}]`);
}
