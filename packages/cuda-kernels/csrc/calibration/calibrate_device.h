#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "figure.h"

namespace thermocline::cuda {

struct CalibrationOptions {
  int device_index = 0;
  // Small sizes and few repetitions: the same code in the time that a memory checker has. Its figures mean nothing.
  bool quick = false;
};

struct Calibration {
  std::string device_name;
  size_t total_bytes = 0;
  int compute_major = 0;
  int compute_minor = 0;
  int driver_version = 0;
  int runtime_version = 0;
  // What the runtime of this build keeps of the device after all that was allocated is free again: context, code, launch resources.
  size_t context_bytes = 0;
  // The figure also counts what other processes and the driver hold, since nothing told what was used before.
  bool context_is_upper_bound = false;
  std::vector<Figure> figures;
  // How hand-overs waited: "stream-memory-operations" or "polling-kernel".
  std::string hand_over_method;
  // Why there are no figures, or not all; empty where every call succeeded and every checksum was right.
  std::string problem;
};

// Measures one device for some seconds; blocks. Throws nothing, and gives back all memory but the context.
Calibration calibrate_device(const CalibrationOptions& options);

}  // namespace thermocline::cuda
