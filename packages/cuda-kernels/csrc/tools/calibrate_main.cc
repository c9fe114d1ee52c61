// Calibration without Node: prints one JSON object, as `measureCudaDevice` returns it. Exit status 1 where a device, a call or a checksum failed.
//   thermocline-cuda-calibrate [device index] [--quick]
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "calibration/calibrate_device.h"
#include "self_test.h"

namespace {

// Names and CUDA's messages hold nothing that JSON escapes but quotes, backslashes and control characters.
void print_text(const std::string& text) {
  std::putchar('"');
  for (const char character : text) {
    if (character == '"' || character == '\\') std::putchar('\\');
    std::putchar(static_cast<unsigned char>(character) < 0x20 ? ' ' : character);
  }
  std::putchar('"');
}

void print_field(const char* name, const std::string& text) {
  std::printf("  \"%s\": ", name);
  print_text(text);
  std::printf(",\n");
}

}  // namespace

int main(int argc, char** argv) {
  thermocline::cuda::CalibrationOptions options;
  for (int argument = 1; argument < argc; argument++) {
    if (std::strcmp(argv[argument], "--quick") == 0)
      options.quick = true;
    else
      options.device_index = std::atoi(argv[argument]);
  }
  // The calibration comes first: what the context takes shows only while there is none.
  const thermocline::cuda::Calibration calibration = thermocline::cuda::calibrate_device(options);
  const thermocline::cuda::SelfTest self_test = thermocline::cuda::run_self_test(options.device_index);
  const bool self_test_passed = self_test.problem.empty() && self_test.actual == self_test.expected;

  std::printf("{\n");
  print_field("name", calibration.device_name);
  std::printf("  \"totalBytes\": %zu,\n  \"computeCapability\": \"%d.%d\",\n", calibration.total_bytes, calibration.compute_major,
              calibration.compute_minor);
  std::printf("  \"driverVersion\": %d,\n  \"runtimeVersion\": %d,\n", calibration.driver_version, calibration.runtime_version);
  std::printf("  \"contextBytes\": %zu,\n  \"contextIsUpperBound\": %s,\n", calibration.context_bytes,
              calibration.context_is_upper_bound ? "true" : "false");
  print_field("handOverMethod", calibration.hand_over_method);
  std::printf("  \"selfTestPassed\": %s,\n", self_test_passed ? "true" : "false");
  print_field("problem", calibration.problem.empty() ? self_test.problem : calibration.problem);
  std::printf("  \"figures\": [");
  for (size_t i = 0; i < calibration.figures.size(); i++) {
    const thermocline::cuda::Figure& figure = calibration.figures[i];
    std::printf("%s\n    {\"quantity\": \"%s\", \"median\": %.9g, \"least\": %.9g, \"most\": %.9g, \"numSamples\": %d}", i == 0 ? "" : ",",
                figure.quantity.c_str(), figure.median, figure.least, figure.most, figure.num_samples);
  }
  std::printf("\n  ]\n}\n");
  // Memory checkers look for what was not given back when the context ends.
  cudaDeviceReset();
  return calibration.problem.empty() && self_test_passed ? 0 : 1;
}
