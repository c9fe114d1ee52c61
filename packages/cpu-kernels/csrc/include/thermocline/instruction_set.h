// The kernels of this build that this processor, and its operating system, can run.
#pragma once
#include <vector>

#include "thermocline/kernel_table.h"

namespace thermocline {

// The fastest first; the scalar one is always there.
std::vector<const KernelTable*> supported_kernels();

}  // namespace thermocline
