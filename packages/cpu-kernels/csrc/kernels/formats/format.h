// What a storage format is to the kernels that unpack it: a struct with
//
//   static constexpr DType dtype;
//   static constexpr int columns;            // elements of a block of the file
//   static constexpr int sub_block_columns;  // elements that share a scale, 16 or 32
//   static constexpr bool has_minima;        // whether they share a minimum, too
//   static constexpr bool is_signed;         // codes are int8 over the whole range; else unsigned and at most 128
//   static constexpr int32_t zero_point;     // the code of the value 0; 0 where codes are signed or there are minima
//   static void unpack(const uint8_t* block, uint8_t* codes, float* scales, float* minima);
//
// `unpack` turns one block of one row into a code for each element and a scale (and minimum) for each sub-block: the element is
// scale · (code - zero_point) + minimum in f32, bit for bit what ggml's formula gives. Products are exact, but for q6_k, which has no
// minima: an element is rounded once.
#pragma once
#include <stdint.h>
#include <string.h>

#include "../half.h"
#include "thermocline/commands.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

inline uint16_t read_u16(const uint8_t* bytes) {
  uint16_t value;
  memcpy(&value, bytes, sizeof value);
  return value;
}
inline uint32_t read_u32(const uint8_t* bytes) {
  uint32_t value;
  memcpy(&value, bytes, sizeof value);
  return value;
}
// binary16.
inline float read_half(const uint8_t* bytes) { return half_to_float(read_u16(bytes)); }

inline void write_u64(uint8_t* bytes, uint64_t value) { memcpy(bytes, &value, sizeof value); }

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
