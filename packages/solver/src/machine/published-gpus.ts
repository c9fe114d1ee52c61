/** What makers publish of their GPUs. Rates are dense: those that makers print for sparse matrices are halved. */

export interface PublishedGpu {
  readonly name: string;
  readonly memoryBytes: number;
  readonly memoryBytesPerSecond: number;
  /** Tensor cores: 8-bit integers; f16 with f32 sums. */
  readonly int8OperationsPerSecond: number;
  readonly f16OperationsPerSecond: number;
  readonly pcieGeneration: 3 | 4 | 5;
  readonly pcieLanes: number;
  /** Address of the figures. */
  readonly source: string;
}

const turingT4 = "https://www.nvidia.com/en-us/data-center/tesla-t4/";
const ampereGeForce = "https://www.nvidia.com/content/PDF/nvidia-ampere-ga-102-gpu-architecture-whitepaper-v2.1.pdf";
const rtx3060 = "https://www.nvidia.com/en-us/geforce/graphics-cards/30-series/rtx-3060-3060ti/";
const a10 = "https://www.nvidia.com/en-us/data-center/products/a10-gpu/";
const a100 = "https://www.nvidia.com/en-us/data-center/a100/";
const adaGeForce = "https://images.nvidia.com/aem-dam/Solutions/geforce/ada/nvidia-ada-gpu-architecture.pdf";
const rtx4060 = "https://www.nvidia.com/en-us/geforce/graphics-cards/40-series/rtx-4060-4060ti/";
const rtx4070 = "https://www.nvidia.com/en-us/geforce/graphics-cards/40-series/rtx-4070-family/";
const rtx4080 = "https://www.nvidia.com/en-us/geforce/graphics-cards/40-series/rtx-4080-family/";
const rtx6000Ada = "https://www.nvidia.com/en-us/design-visualization/rtx-6000/";
const l4 = "https://www.nvidia.com/en-us/data-center/l4/";
const l40s = "https://www.nvidia.com/en-us/data-center/l40s/";
const h100 = "https://www.nvidia.com/en-us/data-center/h100/";
const h200 = "https://www.nvidia.com/en-us/data-center/h200/";
const blackwellGeForce = "https://images.nvidia.com/aem-dam/Solutions/geforce/blackwell/nvidia-rtx-blackwell-gpu-architecture.pdf";

const gpu = (
  name: string,
  memoryGib: number,
  gigabytesPerSecond: number,
  int8Tops: number,
  f16Tflops: number,
  pcieGeneration: 3 | 4 | 5,
  source: string,
  pcieLanes = 16,
): PublishedGpu => ({
  name,
  memoryBytes: memoryGib * 2 ** 30,
  memoryBytesPerSecond: gigabytesPerSecond * 1e9,
  int8OperationsPerSecond: int8Tops * 1e12,
  f16OperationsPerSecond: f16Tflops * 1e12,
  pcieGeneration,
  pcieLanes,
  source,
});

/** By the name that a preset gives it. */
export const publishedGpus = {
  t4: gpu("T4", 16, 320, 130, 65, 3, turingT4),
  rtx3060: gpu("GeForce RTX 3060 12 GB", 12, 360, 102, 25.5, 4, rtx3060),
  rtx3070: gpu("GeForce RTX 3070", 8, 448, 162.6, 40.6, 4, ampereGeForce),
  rtx3080: gpu("GeForce RTX 3080", 10, 760, 238, 59.5, 4, ampereGeForce),
  rtx3090: gpu("GeForce RTX 3090", 24, 936, 284, 71, 4, ampereGeForce),
  a6000: gpu("RTX A6000", 48, 768, 309.7, 154.8, 4, ampereGeForce),
  a10: gpu("A10", 24, 600, 250, 125, 4, a10),
  "a100-40gb": gpu("A100 40 GB", 40, 1555, 624, 312, 4, a100),
  a100: gpu("A100 80 GB SXM", 80, 2039, 624, 312, 4, a100),
  rtx4060: gpu("GeForce RTX 4060", 8, 272, 121, 30.2, 4, rtx4060, 8),
  "rtx4060ti-16gb": gpu("GeForce RTX 4060 Ti 16 GB", 16, 288, 176.5, 44.1, 4, rtx4060, 8),
  rtx4070: gpu("GeForce RTX 4070", 12, 504, 233, 58.3, 4, rtx4070),
  rtx4080: gpu("GeForce RTX 4080", 16, 717, 390, 97.5, 4, rtx4080),
  rtx4090: gpu("GeForce RTX 4090", 24, 1008, 660.6, 165.2, 4, adaGeForce),
  rtx6000ada: gpu("RTX 6000 Ada", 48, 960, 728, 364, 4, rtx6000Ada),
  l4: gpu("L4", 24, 300, 242, 121, 4, l4),
  l40s: gpu("L40S", 48, 864, 733, 366, 4, l40s),
  h100: gpu("H100 SXM", 80, 3350, 1979, 989, 5, h100),
  "h100-pcie": gpu("H100 PCIe", 80, 2000, 1513, 756, 5, h100),
  h200: gpu("H200 SXM", 141, 4800, 1979, 989, 5, h200),
  rtx5070: gpu("GeForce RTX 5070", 12, 672, 246.9, 61.7, 5, blackwellGeForce),
  rtx5070ti: gpu("GeForce RTX 5070 Ti", 16, 896, 351.5, 87.9, 5, blackwellGeForce),
  rtx5080: gpu("GeForce RTX 5080", 16, 960, 450.2, 112.6, 5, blackwellGeForce),
  rtx5090: gpu("GeForce RTX 5090", 32, 1792, 838, 209.5, 5, blackwellGeForce),
} as const satisfies Record<string, PublishedGpu>;
export type GpuName = keyof typeof publishedGpus;
