export { createCudaBackend } from "./cuda-backend.js";
export { type CudaDevice, type CudaProbe, type CudaSelfTest, probeCuda, selfTest } from "./probe-cuda.js";
