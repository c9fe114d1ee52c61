// The iq1, iq2 and iq3 types: blocks of 256 whose elements are points of a codebook, signs, and a 3- or 4-bit scale for 16 or 32 of them.
#pragma once
#include "codebooks.h"
#include "format.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// A byte of `point` is z + v with z = codebook_zero_point; where the mask is set it becomes z - v = ~(z + v) - (255 - 2z).
inline uint64_t negate_where(uint64_t point, uint64_t mask) {
  constexpr uint64_t ones = 0x0101010101010101u;
  return (point ^ mask) - (mask & ones * (255 - 2 * codebook_zero_point));
}

inline float half_step_scale(float d, uint32_t s, float step) { return d * (0.5f + static_cast<float>(s)) * step; }

// d, then for each 32: four point indices, and a word of four 7-bit sign codes and a 4-bit s; scale = d · (s + ½) / 4
struct IQ2_XXS {
  static constexpr DType dtype = DType::iq2_xxs;
  static constexpr int columns = 256, sub_block_columns = 32;
  static constexpr bool has_minima = false, is_signed = false;
  static constexpr int32_t zero_point = codebook_zero_point;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    const float d = read_half(block);
    for (int s = 0; s < 8; s++) {
      const uint8_t* indices = block + 2 + 8 * s;
      const uint32_t signs_and_scale = read_u32(indices + 4);
      scales[s] = half_step_scale(d, signs_and_scale >> 28, 0.25f);
      for (int j = 0; j < 4; j++) {
        const uint64_t mask = even_sign_masks.words[signs_and_scale >> 7 * j & 127];
        write_u64(codes + 32 * s + 8 * j, negate_where(iq2_xxs_codebook.words[indices[j]], mask));
      }
    }
  }
};

// d, 32 words of a 9-bit point index and a 7-bit sign code, then a 4-bit s for each 16; scale as iq2_xxs
struct IQ2_XS {
  static constexpr DType dtype = DType::iq2_xs;
  static constexpr int columns = 256, sub_block_columns = 16;
  static constexpr bool has_minima = false, is_signed = false;
  static constexpr int32_t zero_point = codebook_zero_point;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    const float d = read_half(block);
    for (int s = 0; s < 16; s++) scales[s] = half_step_scale(d, block[66 + s / 2] >> s % 2 * 4 & 15, 0.25f);
    for (int j = 0; j < 32; j++) {
      const uint32_t word = read_u16(block + 2 + 2 * j);
      write_u64(codes + 8 * j, negate_where(iq2_xs_codebook.words[word & 511], even_sign_masks.words[word >> 9]));
    }
  }
};

// d, 32 low bytes of 10-bit point indices, 32 bytes of signs, 8 bytes of the indices' upper bits, then s as iq2_xs
struct IQ2_S {
  static constexpr DType dtype = DType::iq2_s;
  static constexpr int columns = 256, sub_block_columns = 16;
  static constexpr bool has_minima = false, is_signed = false;
  static constexpr int32_t zero_point = codebook_zero_point;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    const float d = read_half(block);
    for (int s = 0; s < 16; s++) scales[s] = half_step_scale(d, block[74 + s / 2] >> s % 2 * 4 & 15, 0.25f);
    for (int j = 0; j < 32; j++) {
      const uint32_t index = block[2 + j] | (block[66 + j / 4] >> j % 4 * 2 & 3u) << 8;
      write_u64(codes + 8 * j, negate_where(iq2_s_codebook.words[index], sign_masks.words[block[34 + j]]));
    }
  }
};

// d, 64 point indices of 4 elements, then for each 32 a word of four 7-bit sign codes and a 4-bit s; scale = d · (s + ½) / 2
struct IQ3_XXS {
  static constexpr DType dtype = DType::iq3_xxs;
  static constexpr int columns = 256, sub_block_columns = 32;
  static constexpr bool has_minima = false, is_signed = false;
  static constexpr int32_t zero_point = codebook_zero_point;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    const float d = read_half(block);
    for (int s = 0; s < 8; s++) {
      const uint32_t signs_and_scale = read_u32(block + 66 + 4 * s);
      scales[s] = half_step_scale(d, signs_and_scale >> 28, 0.5f);
      for (int j = 0; j < 4; j++) {
        const uint8_t* indices = block + 2 + 8 * s + 2 * j;
        const uint64_t point = iq3_xxs_codebook.words[indices[0]] | uint64_t{iq3_xxs_codebook.words[indices[1]]} << 32;
        write_u64(codes + 32 * s + 8 * j, negate_where(point, even_sign_masks.words[signs_and_scale >> 7 * j & 127]));
      }
    }
  }
};

// d, 64 low bytes of 9-bit point indices, 8 bytes of their upper bits, 32 of signs, a 4-bit s for each 32; scale = d · (1 + 2s)
struct IQ3_S {
  static constexpr DType dtype = DType::iq3_s;
  static constexpr int columns = 256, sub_block_columns = 32;
  static constexpr bool has_minima = false, is_signed = false;
  static constexpr int32_t zero_point = codebook_zero_point;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    const float d = read_half(block);
    for (int s = 0; s < 8; s++) scales[s] = d * static_cast<float>(1 + 2 * (block[106 + s / 2] >> s % 2 * 4 & 15));
    for (int j = 0; j < 32; j++) {
      const uint32_t upper = block[66 + j / 4] >> j % 4 * 2;
      const uint32_t first = block[2 + 2 * j] | (upper & 1) << 8;
      const uint32_t second = block[3 + 2 * j] | (upper & 2) << 7;
      const uint64_t point = iq3_s_codebook.words[first] | uint64_t{iq3_s_codebook.words[second]} << 32;
      write_u64(codes + 8 * j, negate_where(point, sign_masks.words[block[74 + j]]));
    }
  }
};

// An element of iq1 is scale · (point ± ⅛): as a code 8 times that, with an eighth of the scale.
inline uint64_t shift_point(uint64_t point, bool negative) {
  constexpr uint64_t ones = 0x0101010101010101u;
  return negative ? point - ones : point + ones;
}
inline float odd_scale(float d, uint32_t s) { return d * static_cast<float>(2 * s + 1) * 0.125f; }

// d, 32 low bytes of 11-bit point indices, then for each 32 a word: four 3-bit upper parts, a 3-bit s, the shift's sign;
// scale = d · (2s + 1)
struct IQ1_S {
  static constexpr DType dtype = DType::iq1_s;
  static constexpr int columns = 256, sub_block_columns = 32;
  static constexpr bool has_minima = false, is_signed = false;
  static constexpr int32_t zero_point = iq1_zero_point;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    const float d = read_half(block);
    for (int s = 0; s < 8; s++) {
      const uint32_t word = read_u16(block + 34 + 2 * s);
      scales[s] = odd_scale(d, word >> 12 & 7);
      for (int j = 0; j < 4; j++) {
        const uint32_t index = block[2 + 4 * s + j] | (word >> 3 * j & 7) << 8;
        write_u64(codes + 32 * s + 8 * j, shift_point(iq1_codebook.words[index], (word & 0x8000) != 0));
      }
    }
  }
};

// 32 low bytes of 11-bit point indices, 32 nibbles of three upper bits and the shift's sign, then four words: each holds four 3-bit s, one
// for 16 elements, and in its top nibble a quarter of d, lowest first.
struct IQ1_M {
  static constexpr DType dtype = DType::iq1_m;
  static constexpr int columns = 256, sub_block_columns = 16;
  static constexpr bool has_minima = false, is_signed = false;
  static constexpr int32_t zero_point = iq1_zero_point;

  static void unpack(const uint8_t* __restrict block, uint8_t* __restrict codes, float* __restrict scales, float*) {
    uint32_t half = 0;
    for (int word = 0; word < 4; word++) half |= static_cast<uint32_t>(block[49 + 2 * word] >> 4) << (4 * word);
    const float d = half_to_float(static_cast<uint16_t>(half));
    for (int s = 0; s < 16; s++) scales[s] = odd_scale(d, read_u16(block + 48 + s / 4 * 2) >> s % 4 * 3 & 7);
    for (int j = 0; j < 32; j++) {
      const uint32_t nibble = block[32 + j / 2] >> j % 2 * 4;
      write_u64(codes + 8 * j, shift_point(iq1_codebook.words[block[j] | (nibble & 7) << 8], (nibble & 8) != 0));
    }
  }
};

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
