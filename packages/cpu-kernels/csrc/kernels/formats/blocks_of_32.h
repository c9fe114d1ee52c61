// Blocks of 32 with a scale d, and for the "_1" types a minimum m. Byte i of 16 holds the low bits of elements i (low nibble) and i + 16.
#pragma once
#include "format.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

inline void unpack_nibbles(const uint8_t* __restrict nibbles, uint8_t* __restrict codes) {
  for (int i = 0; i < 16; i++) {
    codes[i] = nibbles[i] & 15;
    codes[i + 16] = nibbles[i] >> 4;
  }
}

// Adds the fifth bits: bit i of 32 belongs to element i.
inline void add_fifth_bits(const uint8_t* __restrict bits, uint8_t* __restrict codes) {
  constexpr uint8_t masks[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  for (int byte = 0; byte < 4; byte++) {
    for (int i = 0; i < 8; i++) codes[8 * byte + i] |= (bits[byte] & masks[i]) != 0 ? 16 : 0;
  }
}

// d, m, nibbles: d · q + m
struct Q4_1 {
  static constexpr DType dtype = DType::q4_1;
  static constexpr int columns = 32, sub_block_columns = 32;
  static constexpr bool has_minima = true, is_signed = false;
  static constexpr int32_t zero_point = 0;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float* __restrict minima) {
    scales[0] = read_half(block);
    minima[0] = read_half(block + 2);
    unpack_nibbles(block + 4, codes);
  }
};

// d, fifth bits, nibbles: d · (q - 16)
struct Q5_0 {
  static constexpr DType dtype = DType::q5_0;
  static constexpr int columns = 32, sub_block_columns = 32;
  static constexpr bool has_minima = false, is_signed = false;
  static constexpr int32_t zero_point = 16;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    scales[0] = read_half(block);
    unpack_nibbles(block + 6, codes);
    add_fifth_bits(block + 2, codes);
  }
};

// d, m, fifth bits, nibbles: d · q + m
struct Q5_1 {
  static constexpr DType dtype = DType::q5_1;
  static constexpr int columns = 32, sub_block_columns = 32;
  static constexpr bool has_minima = true, is_signed = false;
  static constexpr int32_t zero_point = 0;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float* __restrict minima) {
    scales[0] = read_half(block);
    minima[0] = read_half(block + 2);
    unpack_nibbles(block + 8, codes);
    add_fifth_bits(block + 4, codes);
  }
};

// d, d · Σq that only dot products of activations use, signed bytes: d · q
struct Q8_1 {
  static constexpr DType dtype = DType::q8_1;
  static constexpr int columns = 32, sub_block_columns = 32;
  static constexpr bool has_minima = false, is_signed = true;
  static constexpr int32_t zero_point = 0;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    scales[0] = read_half(block);
    memcpy(codes, block + 4, 32);
  }
};

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
