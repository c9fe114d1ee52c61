// Blocks of 256 with sub-blocks of 16 or 32, whose scales and minima are small integers times a binary16.
#pragma once
#include "format.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// 2-bit codes: element 128 h + 32 s + i is bits 2s, 2s + 1 of byte 32 h + i.
inline void unpack_pairs_of_bits(const uint8_t* __restrict bytes, uint8_t* __restrict codes) {
  for (int half = 0; half < 2; half++) {
    for (int shift = 0; shift < 4; shift++) {
      for (int i = 0; i < 32; i++) codes[128 * half + 32 * shift + i] = bytes[32 * half + i] >> (2 * shift) & 3;
    }
  }
}

// 16 bytes s | m << 4, 2-bit codes, d, dmin: d · s · q - dmin · m
struct Q2_K {
  static constexpr DType dtype = DType::q2_k;
  static constexpr int columns = 256, sub_block_columns = 16;
  static constexpr bool has_minima = true, is_signed = false;
  static constexpr int32_t zero_point = 0;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float* __restrict minima) {
    const float d = read_half(block + 80);
    const float dmin = read_half(block + 82);
    for (int s = 0; s < 16; s++) {
      scales[s] = d * static_cast<float>(block[s] & 15);
      minima[s] = -(dmin * static_cast<float>(block[s] >> 4));
    }
    unpack_pairs_of_bits(block + 16, codes);
  }
};

// 32 bytes of high bits, 2-bit codes, 12 bytes of 6-bit s, d: d · (s - 32) · (q - 4), q with its high bit
struct Q3_K {
  static constexpr DType dtype = DType::q3_k;
  static constexpr int columns = 256, sub_block_columns = 16;
  static constexpr bool has_minima = false, is_signed = false;
  static constexpr int32_t zero_point = 4;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    const float d = read_half(block + 108);
    for (int s = 0; s < 16; s++) {
      const int low = block[96 + (s & 7)] >> (s >> 3) * 4 & 15;
      const int high = block[104 + (s & 3)] >> (s >> 2) * 2 & 3;
      scales[s] = d * static_cast<float>((low | high << 4) - 32);
    }
    unpack_pairs_of_bits(block + 32, codes);
    for (int bit = 0; bit < 8; bit++) {
      for (int i = 0; i < 32; i++) codes[32 * bit + i] |= (block[i] >> bit & 1) << 2;
    }
  }
};

// Eight 6-bit scales and minima in 12 bytes: the first four lie in the low bits of bytes 0-3 and 4-7, the others' low nibbles in
// bytes 8-11 and their upper bits above the first ones'.
inline void unpack_scales_and_minima(const uint8_t* __restrict block, const uint8_t* __restrict packed, float* __restrict scales,
                                     float* __restrict minima) {
  const float d = read_half(block);
  const float dmin = read_half(block + 2);
  for (int s = 0; s < 4; s++) {
    scales[s] = d * static_cast<float>(packed[s] & 63);
    minima[s] = -(dmin * static_cast<float>(packed[s + 4] & 63));
    scales[s + 4] = d * static_cast<float>((packed[s + 8] & 15) | packed[s] >> 6 << 4);
    minima[s + 4] = -(dmin * static_cast<float>(packed[s + 8] >> 4 | packed[s + 4] >> 6 << 4));
  }
}

// Sub-blocks 2p and 2p + 1 are the low and the high nibbles of 32 bytes.
inline void unpack_nibble_pairs(const uint8_t* __restrict nibbles, uint8_t* __restrict codes) {
  for (int pair = 0; pair < 4; pair++) {
    for (int i = 0; i < 32; i++) {
      codes[64 * pair + i] = nibbles[32 * pair + i] & 15;
      codes[64 * pair + 32 + i] = nibbles[32 * pair + i] >> 4;
    }
  }
}

// d, dmin, scales and minima, nibbles: d · s · q - dmin · m
struct Q4_K {
  static constexpr DType dtype = DType::q4_k;
  static constexpr int columns = 256, sub_block_columns = 32;
  static constexpr bool has_minima = true, is_signed = false;
  static constexpr int32_t zero_point = 0;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float* __restrict minima) {
    unpack_scales_and_minima(block, block + 4, scales, minima);
    unpack_nibble_pairs(block + 16, codes);
  }
};

// As q4_k with a fifth bit: bit s of 32 bytes before the nibbles belongs to sub-block s.
struct Q5_K {
  static constexpr DType dtype = DType::q5_k;
  static constexpr int columns = 256, sub_block_columns = 32;
  static constexpr bool has_minima = true, is_signed = false;
  static constexpr int32_t zero_point = 0;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float* __restrict minima) {
    unpack_scales_and_minima(block, block + 4, scales, minima);
    unpack_nibble_pairs(block + 48, codes);
    for (int s = 0; s < 8; s++) {
      for (int i = 0; i < 32; i++) codes[32 * s + i] |= (block[16 + i] >> s & 1) << 4;
    }
  }
};

// 128 bytes of nibbles, 64 of 2-bit upper parts, 16 signed bytes s, d: d · s · (q - 32)
struct Q6_K {
  static constexpr DType dtype = DType::q6_k;
  static constexpr int columns = 256, sub_block_columns = 16;
  static constexpr bool has_minima = false, is_signed = false;
  static constexpr int32_t zero_point = 32;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    const float d = read_half(block + 208);
    for (int s = 0; s < 16; s++) scales[s] = d * static_cast<float>(static_cast<int8_t>(block[192 + s]));
    for (int half = 0; half < 2; half++) {
      for (int quarter = 0; quarter < 4; quarter++) {
        const uint8_t* nibbles = block + 64 * half + 32 * (quarter & 1);
        const uint8_t* upper = block + 128 + 32 * half;
        const int shift = 4 * (quarter >> 1);
        for (int i = 0; i < 32; i++)
          codes[128 * half + 32 * quarter + i] = (nibbles[i] >> shift & 15) | (upper[i] >> (2 * quarter) & 3) << 4;
      }
    }
  }
};

// An f32 scale d, signed bytes, sums of 16 that only dot products of activations use: d · q
struct Q8_K {
  static constexpr DType dtype = DType::q8_k;
  static constexpr int columns = 256, sub_block_columns = 32;
  static constexpr bool has_minima = false, is_signed = true;
  static constexpr int32_t zero_point = 0;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    const float d = float_of(read_u32(block));
    for (int s = 0; s < 8; s++) scales[s] = d;
    memcpy(codes, block + 4, 256);
  }
};

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
