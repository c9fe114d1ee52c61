/** A device that computes nothing and has a kernel for everything: drafts on it tell what a graph consists of, and stand for other devices. */
import { type BackendTraits, dtypes } from "@thermocline/spec";
import { slicedShape } from "./sliced-shape.js";

export const nullTraits: BackendTraits = {
  kind: "null",
  alignment: 64,
  kvDTypes: ["f16"],
  readsHostMemory: true,
  weightLayout: () => "plain",
  /** The blocks of the elements that are left after slicing, as the file holds them. */
  packedByteLength({ dtype, shape }, slices = []) {
    const numElements = slicedShape(shape, slices).reduce((product, size) => product * size, 1);
    return Math.ceil(numElements / dtypes[dtype].blockSize) * dtypes[dtype].blockBytes;
  },
  loadStagingByteLength: () => 0,
  supports: () => true,
  workspaceByteLength: () => 0,
};
