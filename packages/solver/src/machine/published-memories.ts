/** Bandwidths of main memory and of PCI Express that follow from their standards. */

export interface PublishedMemory {
  readonly name: string;
  /** Transfers a second times 8 bytes times channels. */
  readonly memoryBytesPerSecond: number;
  readonly isServer: boolean;
  /** Address of the standard's transfer rates. */
  readonly source: string;
}

const ddr4 = "https://en.wikipedia.org/wiki/DDR4_SDRAM";
const ddr5 = "https://en.wikipedia.org/wiki/DDR5_SDRAM";

function memory(kind: "DDR4" | "DDR5", megatransfersPerSecond: number, channels: number): PublishedMemory {
  return {
    name: `${kind}-${megatransfersPerSecond}, ${channels} channels`,
    memoryBytesPerSecond: megatransfersPerSecond * 1e6 * 8 * channels,
    isServer: channels > 4,
    source: kind === "DDR4" ? ddr4 : ddr5,
  };
}

/** By the name that a preset gives it: without a number of channels two, as desktops and laptops have. */
export const publishedMemories = {
  "ddr4-2400": memory("DDR4", 2400, 2),
  "ddr4-2666": memory("DDR4", 2666, 2),
  "ddr4-3200": memory("DDR4", 3200, 2),
  "ddr4-3600": memory("DDR4", 3600, 2),
  "ddr4-3200x8": memory("DDR4", 3200, 8),
  "ddr5-4800": memory("DDR5", 4800, 2),
  "ddr5-5200": memory("DDR5", 5200, 2),
  "ddr5-5600": memory("DDR5", 5600, 2),
  "ddr5-6000": memory("DDR5", 6000, 2),
  "ddr5-6400": memory("DDR5", 6400, 2),
  "ddr5-8000": memory("DDR5", 8000, 2),
  "ddr5-4800x8": memory("DDR5", 4800, 8),
  "ddr5-4800x12": memory("DDR5", 4800, 12),
  "ddr5-6400x12": memory("DDR5", 6400, 12),
} as const satisfies Record<string, PublishedMemory>;
export type MemoryName = keyof typeof publishedMemories;

export interface PublishedLink {
  readonly name: string;
  /** In each direction, of 16 lanes, after line coding. */
  readonly bytesPerSecond: number;
  readonly source: string;
}

const pcie = "https://en.wikipedia.org/wiki/PCI_Express";

export const publishedLinks = {
  pcie3: { name: "PCI Express 3.0 x16", bytesPerSecond: 15.754e9, source: pcie },
  pcie4: { name: "PCI Express 4.0 x16", bytesPerSecond: 31.508e9, source: pcie },
  pcie5: { name: "PCI Express 5.0 x16", bytesPerSecond: 63.015e9, source: pcie },
} as const satisfies Record<string, PublishedLink>;
export type LinkName = keyof typeof publishedLinks;
