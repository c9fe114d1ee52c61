// Ternary types: d · t with t in {-1, 0, 1}; the code is t + 1.
#pragma once
#include "k_quants.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// A byte holds five base-3 digits as a fraction of 256, most significant first: the digit at `place` is the upper part of
// 3 · (byte · 3^place mod 256).
inline void unpack_digits(const uint8_t* __restrict bytes, int count, int places, uint8_t* __restrict codes) {
  constexpr uint8_t powers_of_3[5] = {1, 3, 9, 27, 81};
  for (int place = 0; place < places; place++) {
    const uint8_t power = powers_of_3[place];
    for (int i = 0; i < count; i++) {
      const uint8_t fraction = static_cast<uint8_t>(bytes[i] * power);
      codes[place * count + i] = static_cast<uint8_t>(fraction * 3 >> 8);
    }
  }
}

// 32 and 16 bytes of five digits, 4 bytes of four, d. Digit n of byte i of a run of w bytes is element n · w + i of the run's elements.
struct TQ1_0 {
  static constexpr DType dtype = DType::tq1_0;
  static constexpr int columns = 256, sub_block_columns = 32;
  static constexpr bool has_minima = false, is_signed = false;
  static constexpr int32_t zero_point = 1;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    const float d = read_half(block + 52);
    for (int s = 0; s < 8; s++) scales[s] = d;
    unpack_digits(block, 32, 5, codes);
    unpack_digits(block + 32, 16, 5, codes + 160);
    unpack_digits(block + 48, 4, 4, codes + 240);
  }
};

// 64 bytes of 2-bit codes in two groups of 32, d.
struct TQ2_0 {
  static constexpr DType dtype = DType::tq2_0;
  static constexpr int columns = 256, sub_block_columns = 32;
  static constexpr bool has_minima = false, is_signed = false;
  static constexpr int32_t zero_point = 1;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    const float d = read_half(block + 64);
    for (int s = 0; s < 8; s++) scales[s] = d;
    unpack_pairs_of_bits(block, codes);
  }
};

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
