/** A device that computes nothing and has a kernel for everything: drafts on it tell what a graph consists of, and stand for other devices. */
import { type BackendTraits, dtypes, numElementsOf, slicedShape } from "@thermocline/spec";

export const nullTraits: BackendTraits = {
  kind: "null",
  alignment: 64,
  kvDTypes: ["f16"],
  readsHostMemory: true,
  weightLayout: () => "plain",
  /** The blocks of the elements that are left after slicing, as the file holds them. */
  packedByteLength(info, slices) {
    const { blockSize, blockBytes } = dtypes[info.dtype];
    return Math.ceil(numElementsOf(slicedShape(info, slices)) / blockSize) * blockBytes;
  },
  loadStagingByteLength: () => 0,
  supports: () => true,
  workspaceByteLength: () => 0,
};
