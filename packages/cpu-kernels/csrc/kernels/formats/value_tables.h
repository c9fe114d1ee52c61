// 4-bit codes that name a value in a table: iq4_nl, iq4_xs and the microscaling floats mxfp4 and nvfp4.
#pragma once
#include "format.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// ggml's iq4_nl table, signed bytes.
constexpr int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// E2M1 of the OCP microscaling formats, doubled to be whole, plus the zero point.
constexpr int32_t e2m1_zero_point = 12;
constexpr int8_t e2m1_codes[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

// d, 16 bytes of codes: d · value
struct IQ4_NL {
  static constexpr DType dtype = DType::iq4_nl;
  static constexpr int columns = 32, sub_block_columns = 32;
  static constexpr bool has_minima = false, is_signed = true;
  static constexpr int32_t zero_point = 0;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    scales[0] = read_half(block);
    store_table_values(codes, codes + 16, iq4_values, block + 2);
  }
};

// d, the upper two bits of eight 6-bit s, 4 bytes of their lower nibbles, 128 bytes of codes: d · (s - 32) · value
struct IQ4_XS {
  static constexpr DType dtype = DType::iq4_xs;
  static constexpr int columns = 256, sub_block_columns = 32;
  static constexpr bool has_minima = false, is_signed = true;
  static constexpr int32_t zero_point = 0;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    const float d = read_half(block);
    const int upper = read_u16(block + 2);
    for (int s = 0; s < 8; s++) {
      const int scale = (block[4 + s / 2] >> s % 2 * 4 & 15) | (upper >> 2 * s & 3) << 4;
      scales[s] = d * static_cast<float>(scale - 32);
      store_table_values(codes + 32 * s, codes + 32 * s + 16, iq4_values, block + 8 + 16 * s);
    }
  }
};

// An E8M0 exponent e, 16 bytes of codes: 2^(e - 127) · value, halved for the doubled table.
struct MXFP4 {
  static constexpr DType dtype = DType::mxfp4;
  static constexpr int columns = 32, sub_block_columns = 32;
  static constexpr bool has_minima = false, is_signed = false;
  static constexpr int32_t zero_point = e2m1_zero_point;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    // 2^(e - 128): subnormal below e = 2.
    const uint32_t exponent = block[0];
    scales[0] = float_of(exponent < 2 ? 0x00200000u << exponent : (exponent - 1) << 23);
    store_table_values(codes, codes + 16, e2m1_codes, block + 1);
  }
};

// Four E4M3 scales, one for each 16 elements, then 8 bytes of codes for each.
struct NVFP4 {
  static constexpr DType dtype = DType::nvfp4;
  static constexpr int columns = 64, sub_block_columns = 16;
  static constexpr bool has_minima = false, is_signed = false;
  static constexpr int32_t zero_point = e2m1_zero_point;

  // Half the value of an unsigned E4M3 byte (bias 7), for the doubled table; 0x7f, its NaN, counts as 0.
  static float half_of_e4m3(uint8_t byte) {
    if (byte == 0x7f) return 0.0f;
    const uint32_t exponent = byte >> 3 & 15;
    const float fraction = static_cast<float>(byte & 7);
    if (exponent == 0) return fraction * 0x1p-10f;
    return (8.0f + fraction) * float_of((exponent - 11 + 127) << 23);
  }

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    for (int s = 0; s < 4; s++) scales[s] = half_of_e4m3(block[s]);
    // The 16 bytes of two sub-blocks at once: low and high nibbles of the first 8 bytes are its elements 0-7 and 8-15.
    for (int pair = 0; pair < 2; pair++) {
      uint8_t low[16], high[16];
      store_table_values(low, high, e2m1_codes, block + 4 + 16 * pair);
      for (int s = 0; s < 2; s++) {
        memcpy(codes + 32 * pair + 16 * s, low + 8 * s, 8);
        memcpy(codes + 32 * pair + 16 * s + 8, high + 8 * s, 8);
      }
    }
  }
};

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
