// The kernels for AVX-512 with F, BW, DQ, VL and VNNI. Empty on other architectures.
#if defined(__x86_64__)
#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512DQ__) || !defined(__AVX512VL__) || !defined(__AVX512VNNI__)
#error "compile this file with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni"
#endif
#define THERMOCLINE_ISA avx512
#include "../kernels/vector_avx512.h"
//
#include "../kernels/kernel_set.h"

namespace thermocline {
constexpr KernelTable avx512_kernels = avx512::make_kernel_table("avx512");
}  // namespace thermocline
#endif
