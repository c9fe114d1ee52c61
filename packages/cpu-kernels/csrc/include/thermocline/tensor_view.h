// A tensor whose bindings and buffer have been resolved for one step: a raw pointer and sizes. Owns nothing.
#pragma once
#include <cstddef>
#include <cstdint>

#include "thermocline/commands.h"  // generated: DType, Layout, enums

namespace thermocline {

struct TensorView {
  std::byte* data = nullptr;  // nullptr: the operand is absent
  DType dtype = DType::f32;
  Layout layout = Layout::plain;
  uint32_t rank = 0;
  int64_t shape[4] = {1, 1, 1, 1};  // row-major, outermost first; unused axes are 1
  int64_t row_stride = 0;           // elements between indices of axis 0; always filled in

  explicit operator bool() const { return data != nullptr; }
  template <typename T>
  T* as() const { return reinterpret_cast<T*>(data); }
  template <typename T>
  T* row(int64_t index) const { return reinterpret_cast<T*>(data) + index * row_stride; }
};

}  // namespace thermocline
