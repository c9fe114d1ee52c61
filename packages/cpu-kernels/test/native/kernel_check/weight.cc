// Weights of every dtype that is packed.
#include "kernel_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "workspace.h"

namespace thermocline::kernel_check {
namespace {

struct Type {
  DType dtype;
  const char* name;
  std::vector<int> scales;  // where the binary16 scales and minima of a block lie
  float largest_scale;
  double minimum_bound;
};

// In a block of 256 the largest minimum is 63 (q2_k: 15) times the second number.
const Type types[] = {
    {DType::f32, "f32", {}, 0, 0},         {DType::f16, "f16", {}, 0, 0},         {DType::bf16, "bf16", {}, 0, 0},
    {DType::q8_0, "q8_0", {0}, 0.1f, 0},   {DType::q4_0, "q4_0", {0}, 0.1f, 0},   {DType::q4_1, "q4_1", {0, 2}, 0.1f, 0.1},
    {DType::q5_0, "q5_0", {0}, 0.1f, 0},   {DType::q5_1, "q5_1", {0, 2}, 0.1f, 0.1}, {DType::q8_1, "q8_1", {0, 2}, 0.1f, 0},
    {DType::q2_k, "q2_k", {80, 82}, 0.01f, 0.15}, {DType::q3_k, "q3_k", {108}, 0.01f, 0}, {DType::q4_k, "q4_k", {0, 2}, 0.01f, 0.63},
    {DType::q5_k, "q5_k", {0, 2}, 0.01f, 0.63}, {DType::q6_k, "q6_k", {208}, 0.01f, 0}, {DType::q8_k, "q8_k", {}, 0.1f, 0},
    {DType::iq1_s, "iq1_s", {0}, 0.1f, 0}, {DType::iq1_m, "iq1_m", {}, 0.1f, 0},  {DType::iq2_xxs, "iq2_xxs", {0}, 0.1f, 0},
    {DType::iq2_xs, "iq2_xs", {0}, 0.1f, 0}, {DType::iq2_s, "iq2_s", {0}, 0.1f, 0}, {DType::iq3_xxs, "iq3_xxs", {0}, 0.1f, 0},
    {DType::iq3_s, "iq3_s", {0}, 0.1f, 0}, {DType::iq4_nl, "iq4_nl", {0}, 0.1f, 0}, {DType::iq4_xs, "iq4_xs", {0}, 0.01f, 0},
    {DType::tq1_0, "tq1_0", {52}, 1, 0},   {DType::tq2_0, "tq2_0", {64}, 1, 0},   {DType::mxfp4, "mxfp4", {}, 0, 0},
    {DType::nvfp4, "nvfp4", {}, 0, 0},
};

const Type& type_of(DType dtype) {
  return *std::find_if(std::begin(types), std::end(types), [&](const Type& type) { return type.dtype == dtype; });
}

uint16_t random_half(float largest) { return nearest_half(uniform(-largest, largest)); }

// Any bytes, the extremes often: they are where an integer dot would saturate. Then scales of a size that keeps sums finite.
void fill_block(const Type& type, std::byte* block, size_t byte_length) {
  const int style = uniform_int(0, 3);
  for (size_t i = 0; i < byte_length; i++)
    block[i] = static_cast<std::byte>(style == 0 ? 0xff : style == 1 && uniform_int(0, 1) != 0 ? (uniform_int(0, 1) != 0 ? 0x80 : 0x7f) : uniform_int(0, 255));
  for (const int offset : type.scales) {
    const uint16_t scale = random_half(type.largest_scale);
    memcpy(block + offset, &scale, 2);
  }
  if (type.dtype == DType::q8_k) {
    const float scale = uniform(-0.1f, 0.1f);
    memcpy(block, &scale, 4);
  } else if (type.dtype == DType::iq1_m) {
    // The top nibbles of four words are a binary16: one of 2^-7 to 2^-4, either sign.
    block[55] = (block[55] & std::byte{0x0f}) | (uniform_int(0, 1) != 0 ? std::byte{0x20} : std::byte{0xa0});
  } else if (type.dtype == DType::mxfp4) {
    block[0] = static_cast<std::byte>(uniform_int(118, 130));
  } else if (type.dtype == DType::nvfp4) {
    for (int i = 0; i < 4; i++) block[i] = static_cast<std::byte>(uniform_int(0, 0x7f));
  }
}

void fill_element(DType dtype, std::byte* element) {
  const float value = uniform(-1, 1);
  const uint16_t half = nearest_half(value);
  if (dtype == DType::f32) memcpy(element, &value, 4);
  else if (dtype == DType::f16) memcpy(element, &half, 2);
  else memcpy(element, reinterpret_cast<const std::byte*>(&value) + 2, 2);
}

// `block` of a type that has no kernels of its own for whole blocks.
void append_values(DType dtype, const std::byte* block, std::vector<float>& values) {
  float value = 0;
  uint16_t half;
  memcpy(&half, block, 2);
  if (dtype == DType::f32) {
    memcpy(&value, block, 4);
    values.push_back(value);
  } else if (dtype == DType::f16) {
    values.push_back(static_cast<float>(half_value(half)));
  } else if (dtype == DType::bf16) {
    memcpy(reinterpret_cast<std::byte*>(&value) + 2, block, 2);
    values.push_back(value);
  } else {
    const float scale = static_cast<float>(half_value(half));
    for (int i = 0; i < 32; i++) {
      const int byte = static_cast<int>(block[2 + (dtype == DType::q4_0 ? i % 16 : i)]);
      const int quant = dtype == DType::q8_0 ? static_cast<int8_t>(byte) : (i < 16 ? byte & 15 : byte >> 4) - 8;
      values.push_back(static_cast<float>(quant) * scale);
    }
  }
}

std::vector<float> embedded_values(Weight& weight, DType dtype, int64_t rows, int64_t columns) {
  std::vector<int32_t> ids(static_cast<size_t>(rows));
  std::iota(ids.begin(), ids.end(), 0);
  Tensor token_ids = from_ints({rows}, ids);
  Tensor out = make(DType::f32, {rows, columns});
  const TensorView table{weight.file.data(), dtype, Layout::plain, 2, {rows, columns, 1, 1}, columns};
  check(scalar_kernels.embed(out.view, table, token_ids.view, 1, serial).ok(), "%s is embedded", name_of(dtype));
  return {out.as<float>(), out.as<float>() + rows * columns};
}

}  // namespace

Weight make_weights(DType dtype, int64_t matrices, int64_t rows, int64_t columns) {
  const Type& type = type_of(dtype);
  const StorageBlock unit = storage_block(dtype);
  Weight weight;
  weight.minimum_bound = type.minimum_bound;
  weight.row_bytes = static_cast<size_t>(columns / unit.elements * unit.bytes);
  weight.file.resize(weight.row_bytes * static_cast<size_t>(matrices * rows));
  const bool computed_here = unit.elements == 1 || dtype == DType::q4_0 || dtype == DType::q8_0;
  for (size_t offset = 0; offset < weight.file.size(); offset += unit.bytes) {
    std::byte* block = weight.file.data() + offset;
    if (unit.elements == 1) fill_element(dtype, block);
    else fill_block(type, block, unit.bytes);
    if (computed_here) append_values(dtype, block, weight.values);
  }
  if (!computed_here) weight.values = embedded_values(weight, dtype, matrices * rows, columns);

  const size_t matrix_bytes = packed_byte_length(dtype, rows, columns);
  weight.packed.bytes.resize(static_cast<size_t>(matrices) * matrix_bytes);
  const int64_t all[2] = {0, columns};
  // In two calls, as a loader that works in pieces does.
  const int64_t cut = std::min<int64_t>(rows, 32);
  for (int64_t matrix = 0; matrix < matrices; matrix++) {
    const std::byte* file = weight.file.data() + static_cast<size_t>(matrix * rows) * weight.row_bytes;
    std::byte* packed = weight.packed.bytes.data() + static_cast<size_t>(matrix) * matrix_bytes;
    pack_rows({file, dtype, columns, weight.row_bytes}, all, 1, 0, cut, packed);
    if (rows > cut) pack_rows({file + static_cast<size_t>(cut) * weight.row_bytes, dtype, columns, weight.row_bytes}, all, 1, cut, rows - cut, packed);
  }
  weight.packed.view = TensorView{weight.packed.bytes.data(), dtype, Layout::packed, 3, {matrices, rows, columns, 1}, rows * columns};
  return weight;
}

Weight make_weight(DType dtype, int64_t rows, int64_t columns) {
  Weight weight = make_weights(dtype, 1, rows, columns);
  weight.packed.view = TensorView{weight.packed.bytes.data(), dtype, Layout::packed, 2, {rows, columns, 1, 1}, columns};
  return weight;
}

const char* name_of(DType dtype) { return type_of(dtype).name; }
bool is_quantised(DType dtype) { return storage_block(dtype).elements > 1; }
int64_t column_unit(DType dtype) { return storage_block(dtype).elements; }

Tensor matmul_workspace(DType dtype, int64_t rows, int64_t columns) {
  return make(DType::i8, {std::max<int64_t>(1, matmul_workspace_bytes(dtype, rows, columns))});
}

}  // namespace thermocline::kernel_check
