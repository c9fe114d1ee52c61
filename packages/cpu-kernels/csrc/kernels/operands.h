// Reading tensor views and sharing work. TensorView's own members are inline functions with external linkage, which a file compiled for
// one instruction set must not emit: these have a copy in every instruction set's namespace.
#pragma once
#include <cstddef>
#include <cstdint>

#include "packed_layout.h"
#include "thermocline/kernel_table.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

template <typename T>
inline T* row_of(const TensorView& view, int64_t index) {
  return reinterpret_cast<T*>(view.data) + index * view.row_stride;
}

inline bool present(const TensorView& view) { return view.data != nullptr; }

// Elements of one index of axis 0.
inline int64_t columns_of(const TensorView& view) { return view.shape[1] * view.shape[2] * view.shape[3]; }

inline int64_t byte_length_of(const TensorView& view) {
  const StorageBlock unit = storage_block(view.dtype);
  return view.shape[0] * columns_of(view) / unit.elements * unit.bytes;
}

inline int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t maximum(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t clamp(int64_t value, int64_t low, int64_t high) { return maximum(low, minimum(value, high)); }

// body(first, last, thread) over [0, items); by the caller, as thread 0, where the work is one range.
template <typename Body>
inline void parallel_for(const Parallel& parallel, int64_t items, int64_t grain, const Body& body) {
  if (items <= 0) return;
  if (items <= grain || parallel.threads <= 1) {
    body(int64_t{0}, items, 0);
    return;
  }
  const auto call = [](void* context, int64_t first, int64_t last, int thread) {
    (*static_cast<const Body*>(context))(first, last, thread);
  };
  parallel.run(parallel.pool, items, grain, call, const_cast<void*>(static_cast<const void*>(&body)));
}

// Items a range, so that a range is worth handing to a thread: about `work` elements of `per_item` each.
inline int64_t grain_of(int64_t work, int64_t per_item) { return maximum(1, work / maximum(1, per_item)); }

// A range of elementwise work: bound by memory, so large enough to hide the hand-over (a few microseconds).
constexpr int64_t elementwise_range = 16384;

// The first value of `indices` [n] outside [0, limit).
inline Status check_indices(const TensorView& indices, int64_t limit, const char* problem) {
  for (int64_t i = 0; i < indices.shape[0]; i++) {
    const int32_t index = *row_of<const int32_t>(indices, i);
    if (index < 0 || index >= limit) return {problem, index, limit};
  }
  return {};
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
