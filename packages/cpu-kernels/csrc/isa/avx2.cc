// The kernels for AVX2, FMA and F16C. Empty on other architectures.
#if defined(__x86_64__)
#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "compile this file with -mavx2 -mfma -mf16c"
#endif
#define THERMOCLINE_ISA avx2
#include "../kernels/vector_avx2.h"
//
#include "../kernels/kernel_set.h"

namespace thermocline {
constexpr KernelTable avx2_kernels = avx2::make_kernel_table("avx2");
}  // namespace thermocline
#endif
