export { createCudaBackend } from "./cuda-backend.js";
export type { CudaFigureName } from "./load-binding.js";
export { type CudaCalibration, measureCudaDevice } from "./measure-cuda-device.js";
export { type CudaDevice, type CudaProbe, type CudaSelfTest, probeCuda, selfTest } from "./probe-cuda.js";
export { cudaTraits } from "./traits.js";
