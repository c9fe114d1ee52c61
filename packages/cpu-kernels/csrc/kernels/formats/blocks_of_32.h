// Blocks of 32 with a scale d, and for the "_1" types a minimum m. Byte i of 16 holds the low bits of elements i (low nibble) and i + 16.
#pragma once
#include "format.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// d, m, nibbles: d · q + m
struct Q4_1 {
  static constexpr DType dtype = DType::q4_1;
  static constexpr int columns = 32, sub_block_columns = 32;
  static constexpr bool has_minima = true, is_signed = false;
  static constexpr int32_t zero_point = 0;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float* __restrict minima) {
    scales[0] = read_half(block);
    minima[0] = read_half(block + 2);
    store_five_bit_codes(codes, block + 4, 0);
  }
};

// d, fifth bits (bit i belongs to element i), nibbles: d · (q - 16)
struct Q5_0 {
  static constexpr DType dtype = DType::q5_0;
  static constexpr int columns = 32, sub_block_columns = 32;
  static constexpr bool has_minima = false, is_signed = false;
  static constexpr int32_t zero_point = 16;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    scales[0] = read_half(block);
    store_five_bit_codes(codes, block + 6, read_u32(block + 2));
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
    store_five_bit_codes(codes, block + 8, read_u32(block + 4));
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
