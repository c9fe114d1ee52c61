// matmul: out [T, N] = x [T, K] · weightᵀ (+ bias), weight [N, K] packed in groups of 16 rows (README.md): a row is a lane. The order of
// operations stands in direct_products.h and panel_products.h; the bias is added last.
#pragma once
#include "direct_products.h"
#include "panel_products.h"
#include "workspace.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// `workspace` holds the positions' quantised activations: matmul_workspace_bytes.
inline Status multiply(const ProductList& list, std::byte* workspace, const Parallel& parallel) {
  switch (list.dtype) {
    case DType::f32: multiply_floats<float>(list, parallel); return {};
    case DType::f16: multiply_floats<uint16_t>(list, parallel); return {};
    case DType::bf16: multiply_floats<BFloat16>(list, parallel); return {};
    case DType::q4_0: multiply_interleaved<InterleavedQ4>(list, workspace, parallel); return {};
    case DType::q8_0: multiply_interleaved<InterleavedQ8>(list, workspace, parallel); return {};
    default: break;
  }
  const PanelFormat format = panel_format(list.dtype);
  if (format.unpack_panel == nullptr)
    return {"a weight of a dtype that this backend does not multiply", static_cast<int64_t>(list.dtype), 0};
  multiply_panels(list, format, workspace, parallel);
  return {};
}

inline Status check_workspace(const TensorView& workspace, int64_t needed) {
  const int64_t given = present(workspace) ? byte_length_of(workspace) : 0;
  if (given < needed) return {"the workspace is too small", given, needed};
  return {};
}

inline Status matmul(const TensorView& out, const TensorView& x, const TensorView& weight, const TensorView& bias,
                     const TensorView& workspace, const Parallel& parallel) {
  if (weight.layout != Layout::packed) return {"matmul's weight is not packed", 0, 0};
  if (out.shape[0] == 0 || out.shape[1] == 0) return {};
  const Status status = check_workspace(workspace, matmul_workspace_bytes(weight.dtype, x.shape[0], x.shape[1]));
  if (status.problem != nullptr) return status;
  const Product product{weight.data, 0, x.shape[0]};
  const RowMap rows{reinterpret_cast<const float*>(x.data), x.row_stride, 0, reinterpret_cast<float*>(out.data), out.row_stride, 0, 1,
                    nullptr};
  const float* bias_values = reinterpret_cast<const float*>(bias.data);
  return multiply({&product, 1, weight.dtype, out.shape[1], x.shape[1], bias_values, rows}, workspace.data, parallel);
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
