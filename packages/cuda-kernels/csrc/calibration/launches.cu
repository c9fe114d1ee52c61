#include <cuda_runtime.h>

#include <chrono>

#include "device_resources.h"
#include "measurements.h"

namespace thermocline::cuda {
namespace {

constexpr int launches = 512;

// *count += 1. Launch <<<1, 32>>>.
__global__ void add_one(unsigned int* count) {
  if (threadIdx.x == 0) *count += 1;
}

void launch_all(const Stream& stream, unsigned int* count) {
  for (int launch = 0; launch < launches; launch++) {
    add_one<<<1, 32, 0, stream>>>(count);
    check_launch("add_one");
  }
}

// The launches as a graph that the device runs by itself.
class LaunchGraph {
 public:
  LaunchGraph(const Stream& stream, unsigned int* count) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    std::string problem;
    try {
      launch_all(stream, count);
    } catch (const CudaFailure& failure) {
      problem = failure.what();
    }
    cudaGraph_t graph = nullptr;
    const cudaError_t ended = cudaStreamEndCapture(stream, &graph);
    if (problem.empty() && ended == cudaSuccess) {
      const cudaError_t instantiated = cudaGraphInstantiate(&graph_, graph, 0);
      if (instantiated != cudaSuccess) problem = CudaFailure("cudaGraphInstantiate", instantiated).what();
    }
    if (graph != nullptr) cudaGraphDestroy(graph);
    check(ended, "cudaStreamEndCapture");
    if (!problem.empty()) throw CudaFailure(problem);
  }
  ~LaunchGraph() { cudaGraphExecDestroy(graph_); }
  LaunchGraph(const LaunchGraph&) = delete;
  LaunchGraph& operator=(const LaunchGraph&) = delete;

  void launch(const Stream& stream) const { check(cudaGraphLaunch(graph_, stream), "cudaGraphLaunch"); }

 private:
  cudaGraphExec_t graph_ = nullptr;
};

}  // namespace

void measure_launches(const MeasuredDevice& device, std::vector<Figure>& figures) {
  const Stream stream;
  const DeviceMemory counter(sizeof(unsigned int));
  unsigned int* const count = counter.as<unsigned int>();
  check(cudaMemsetAsync(count, 0, sizeof(unsigned int), stream), "cudaMemsetAsync");
  unsigned int expected = 0;

  figures.push_back(measure_figure("launchSeconds", device.samples(), [&] {
    expected += launches;
    return seconds_on_device(stream, [&] { launch_all(stream, count); }) / launches;
  }));
  {
    const LaunchGraph graph(stream, count);
    figures.push_back(measure_figure("graphNodeSeconds", device.samples(), [&] {
      expected += launches;
      return seconds_on_device(stream, [&] { graph.launch(stream); }) / launches;
    }));
  }
  figures.push_back(measure_figure("launchAndWaitSeconds", 4 * device.samples(), [&] {
    expected += 1;
    const auto begin = std::chrono::steady_clock::now();
    add_one<<<1, 32, 0, stream>>>(count);
    check_launch("add_one");
    stream.synchronize();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }));

  unsigned int actual = 0;
  check(cudaMemcpy(&actual, count, sizeof actual, cudaMemcpyDeviceToHost), "cudaMemcpy");
  if (actual != expected) throw CudaFailure("of " + std::to_string(expected) + " launches " + std::to_string(actual) + " ran");
}

}  // namespace thermocline::cuda
