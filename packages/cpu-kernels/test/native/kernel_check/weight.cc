// Weights of every dtype that is packed.
#include "kernel_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace thermocline::kernel_check {

Weight make_weight(DType dtype, int64_t rows, int64_t columns) {
  Weight weight;
  const int64_t block_bytes = dtype == DType::q4_0 ? 18 : 34;
  const bool quantised = dtype == DType::q4_0 || dtype == DType::q8_0;
  weight.row_bytes = static_cast<size_t>(quantised ? columns / 32 * block_bytes : columns * element_bytes(dtype));
  weight.file.resize(weight.row_bytes * static_cast<size_t>(rows));
  for (int64_t row = 0; row < rows; row++) {
    std::byte* bytes = weight.file.data() + static_cast<size_t>(row) * weight.row_bytes;
    for (int64_t column = 0; column < columns; column += quantised ? 32 : 1) {
      if (dtype == DType::f32) {
        const float value = uniform(-1, 1);
        memcpy(bytes + 4 * column, &value, 4);
        weight.values.push_back(value);
      } else if (dtype == DType::f16) {
        const uint16_t half = nearest_half(uniform(-1, 1));
        memcpy(bytes + 2 * column, &half, 2);
        weight.values.push_back(static_cast<float>(half_value(half)));
      } else {
        std::byte* block = bytes + column / 32 * block_bytes;
        const uint16_t scale = nearest_half(uniform(-0.1f, 0.1f));
        memcpy(block, &scale, 2);
        float values[32];
        for (int i = 0; i < block_bytes - 2; i++) {
          // The extremes often: they are where an integer dot would saturate.
          const int byte = uniform_int(0, 3) == 0 ? (dtype == DType::q4_0 ? 0xff : (uniform_int(0, 1) != 0 ? 0x80 : 0x7f)) : uniform_int(0, 255);
          block[2 + i] = static_cast<std::byte>(byte);
          if (dtype == DType::q4_0) {
            values[i] = static_cast<float>((byte & 15) - 8);
            values[i + 16] = static_cast<float>((byte >> 4) - 8);
          } else {
            values[i] = static_cast<float>(static_cast<int8_t>(byte));
          }
        }
        for (const float value : values) weight.values.push_back(value * static_cast<float>(half_value(scale)));
      }
    }
  }
  weight.packed.bytes.resize(packed_byte_length(dtype, rows, columns));
  const int64_t all[2] = {0, columns};
  // In two calls, as a loader that works in pieces does.
  const int64_t cut = std::min<int64_t>(rows, 32);
  pack_rows({weight.file.data(), dtype, columns, weight.row_bytes}, all, 1, 0, cut, weight.packed.bytes.data());
  if (rows > cut)
    pack_rows({weight.file.data() + static_cast<size_t>(cut) * weight.row_bytes, dtype, columns, weight.row_bytes}, all, 1, cut, rows - cut,
              weight.packed.bytes.data());
  TensorView& view = weight.packed.view;
  view = TensorView{weight.packed.bytes.data(), dtype, Layout::packed, 2, {rows, columns, 1, 1}, columns};
  return weight;
}

const char* name_of(DType dtype) {
  return dtype == DType::f32 ? "f32" : dtype == DType::f16 ? "f16" : dtype == DType::q8_0 ? "q8_0" : "q4_0";
}
bool is_quantised(DType dtype) { return dtype == DType::q8_0 || dtype == DType::q4_0; }

}  // namespace thermocline::kernel_check
