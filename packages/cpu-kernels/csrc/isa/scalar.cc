// The kernels in portable C++, for every architecture.
#define THERMOCLINE_ISA scalar
#include "../kernels/vector_scalar.h"
//
#include "../kernels/kernel_set.h"

namespace thermocline {
constexpr KernelTable scalar_kernels = scalar::make_kernel_table("scalar");
}  // namespace thermocline
