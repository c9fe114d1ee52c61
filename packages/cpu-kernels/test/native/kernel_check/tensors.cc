// Tensors, random numbers and binary16.
#include "kernel_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace thermocline::kernel_check {

std::mt19937 generator{20240229};

float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(generator); }
int uniform_int(int low, int high) { return std::uniform_int_distribution<int>(low, high)(generator); }

Tensor make(DType dtype, std::vector<int64_t> shape, int64_t gap) {
  Tensor tensor;
  int64_t columns = 1;
  for (size_t axis = 0; axis < shape.size(); axis++) {
    tensor.view.shape[axis] = shape[axis];
    if (axis > 0) columns *= shape[axis];
  }
  tensor.view.rank = static_cast<uint32_t>(shape.size());
  tensor.view.dtype = dtype;
  tensor.view.row_stride = columns + gap;
  const int64_t elements = shape[0] == 0 ? 0 : (shape[0] - 1) * (columns + gap) + columns;
  const StorageBlock unit = storage_block(dtype);
  tensor.bytes.assign(static_cast<size_t>(std::max<int64_t>(1, elements / unit.elements * unit.bytes)), std::byte{0});
  tensor.bytes.shrink_to_fit();
  tensor.view.data = tensor.bytes.data();
  return tensor;
}

Tensor random_f32(std::vector<int64_t> shape, float low, float high, int64_t gap) {
  Tensor tensor = make(DType::f32, shape, gap);
  float* values = tensor.as<float>();
  for (size_t i = 0; i < tensor.bytes.size() / 4; i++) values[i] = uniform(low, high);
  return tensor;
}

Tensor from_ints(std::vector<int64_t> shape, const std::vector<int32_t>& values) {
  Tensor tensor = make(DType::i32, shape);
  if (!values.empty()) memcpy(tensor.bytes.data(), values.data(), values.size() * 4);
  return tensor;
}

double half_value(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int mantissa = half & 1023;
  const double magnitude = exponent == 31   ? (mantissa != 0 ? std::nan("") : infinity)
                           : exponent == 0 ? std::ldexp(mantissa, -24)
                                           : std::ldexp(1024 + mantissa, exponent - 25);
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

// Nearest half by bisection over the ordered positive halves; ties go to the even one.
uint16_t nearest_half(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(static_cast<double>(value));
  if (magnitude >= 65520) return sign | 0x7c00;
  int low = 0, high = 0x7c00;
  while (high - low > 1) (half_value(static_cast<uint16_t>((low + high) / 2)) <= magnitude ? low : high) = (low + high) / 2;
  if (low == 0x7bff) return sign | 0x7bff;
  const double below = magnitude - half_value(static_cast<uint16_t>(low));
  const double above = half_value(static_cast<uint16_t>(high)) - magnitude;
  const int nearest = below < above || (below == above && low % 2 == 0) ? low : high;
  return sign | static_cast<uint16_t>(nearest);
}

std::vector<float> values_of_block(DType dtype, const std::byte* block) {
  uint16_t half;
  memcpy(&half, block, 2);
  std::vector<float> values;
  for (int i = 0; i < 32; i++) {
    const int byte = static_cast<int>(block[2 + (dtype == DType::q4_0 ? i % 16 : i)]);
    const int quant = dtype == DType::q8_0 ? (byte ^ 0x80) - 0x80 : (i < 16 ? byte % 16 : byte / 16) - 8;
    values.push_back(static_cast<float>(quant * half_value(half)));
  }
  return values;
}

std::vector<std::byte> block_of_values(DType dtype, const float* values) {
  float extreme = values[0];
  bool finite = true;
  for (int i = 0; i < 32; i++) {
    finite = finite && std::isfinite(values[i]);
    if (std::fabs(values[i]) > std::fabs(extreme)) extreme = values[i];
  }
  const float scale = dtype == DType::q8_0 ? std::fabs(extreme) / 127 : extreme / -8;
  const float inverse = finite && std::isfinite(1 / scale) ? 1 / scale : 0;
  const uint16_t half = finite ? nearest_half(scale) : 0x7e00;
  std::vector<std::byte> block(storage_block(dtype).bytes);
  memcpy(block.data(), &half, 2);
  for (int i = 0; i < 32; i++) {
    const float scaled = finite ? values[i] * inverse : 0;
    const int quant = static_cast<int>(std::nearbyint(scaled));
    std::byte& byte = block[static_cast<size_t>(2 + (dtype == DType::q4_0 ? i % 16 : i))];
    byte = dtype == DType::q8_0 ? static_cast<std::byte>(quant) : byte | static_cast<std::byte>(std::min(15, quant + 8) << (i < 16 ? 0 : 4));
  }
  return block;
}

}  // namespace thermocline::kernel_check
