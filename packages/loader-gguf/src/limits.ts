/**
 * What a header may hold. GGUF stores every count as 64 bits, so a damaged or hostile file can ask for anything: each limit is far
 * above what real models use and low enough that a header at the limit still opens on a small machine.
 */
export const limits = {
  /** Bytes before the tensor data. A 256k-token vocabulary with merges takes about 15 MB; 100,000 tensors take about 8 MB. */
  headerBytes: 256 * 1024 * 1024,
  /** Entries. Models have 20 to 60; files made by merging tools have been seen with hundreds. */
  metadataCount: 65_536,
  /** The GGUF specification's own bound on a key. */
  keyBytes: 65_535,
  /** One string. The largest in use are whole `tokenizer.json` files of some 20 MB. */
  stringBytes: 64 * 1024 * 1024,
  /** Elements of one array. The largest are merge lists, about half a million. */
  arrayLength: 1 << 24,
  /** Arrays in arrays. No known key nests more than once; the reader recurses, so depth costs stack. */
  arrayDepth: 8,
  /** Tensors of one file. Unmerged experts of the largest mixtures reach about 50,000. */
  tensorCount: 1_000_000,
  /** ggml keeps 63 bytes, which language models stay under; converters of other models write longer names. */
  tensorNameBytes: 1_024,
  /** ggml's tensors have at most four dimensions. */
  dimensions: 4,
  /** `general.alignment`: 32 in nearly all files, a page where data is mapped for direct I/O. */
  alignment: 1 << 20,
  /** Files of one model, each of which stays open; usual limits on open files begin at 1024. */
  shardCount: 1_000,
  /** One `read`: browsers and Node hand out larger buffers unreliably. */
  readBytes: 2 * 1024 * 1024 * 1024,
} as const;
