// The vector vocabulary on AVX-512 (F, BW, DQ, VL, VNNI): 16 lanes are one register. What each name means: vector_scalar.h.
#pragma once
// gcc 12 takes the deliberately undefined pass-through operands of its own intrinsics for a mistake.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#include <string.h>

#include <cstddef>
#include <cstdint>

#define THERMOCLINE_INLINE inline __attribute__((always_inline))

namespace thermocline::THERMOCLINE_ISA {
namespace {

constexpr int max_quantised_tile = 8;
constexpr int max_float_tile = 4;

struct F32x16 { __m512 v; };
struct I32x16 { __m512i v; };
struct Bytes { __m512i v; };

THERMOCLINE_INLINE __mmask16 first_lanes(int n) { return static_cast<__mmask16>((1u << n) - 1u); }

THERMOCLINE_INLINE F32x16 splat(float x) { return {_mm512_set1_ps(x)}; }
THERMOCLINE_INLINE F32x16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
THERMOCLINE_INLINE void store(float* p, F32x16 a) { _mm512_storeu_ps(p, a.v); }
THERMOCLINE_INLINE F32x16 load(const float* p, int n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
THERMOCLINE_INLINE void store(float* p, F32x16 a, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), a.v); }
THERMOCLINE_INLINE F32x16 load(const uint16_t* p) { return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))}; }
THERMOCLINE_INLINE F32x16 load(const uint16_t* p, int n) { return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p))}; }
struct BFloat16 { uint16_t bits; };
THERMOCLINE_INLINE F32x16 load(const BFloat16* p) {
  const __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(words, 16))};
}
THERMOCLINE_INLINE __m256i to_half(F32x16 a) { return _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
THERMOCLINE_INLINE void store(uint16_t* p, F32x16 a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), to_half(a)); }
THERMOCLINE_INLINE void store(uint16_t* p, F32x16 a, int n) { _mm256_mask_storeu_epi16(p, first_lanes(n), to_half(a)); }

THERMOCLINE_INLINE F32x16 add(F32x16 a, F32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
THERMOCLINE_INLINE F32x16 sub(F32x16 a, F32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
THERMOCLINE_INLINE F32x16 mul(F32x16 a, F32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
THERMOCLINE_INLINE F32x16 div(F32x16 a, F32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
THERMOCLINE_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
THERMOCLINE_INLINE F32x16 max(F32x16 a, F32x16 b) { return {_mm512_max_ps(a.v, b.v)}; }
THERMOCLINE_INLINE F32x16 min(F32x16 a, F32x16 b) { return {_mm512_min_ps(a.v, b.v)}; }
THERMOCLINE_INLINE F32x16 select_less(F32x16 a, F32x16 b, F32x16 x, F32x16 y) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}

THERMOCLINE_INLINE float reduce_add(F32x16 a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
THERMOCLINE_INLINE float reduce_max(F32x16 a) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
// Four levels of a transposition, each adding what it brings side by side: 15 additions and 30 shuffles for 16 sums.
THERMOCLINE_INLINE __m512 add_8_apart(__m512 x, __m512 y) {  // 256-bit halves [x, y]
  return _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x44), _mm512_shuffle_f32x4(x, y, 0xee));
}
THERMOCLINE_INLINE __m512 add_4_apart(__m512 xy, __m512 zw) {  // 128-bit quarters [x, y, z, w]
  return _mm512_add_ps(_mm512_shuffle_f32x4(xy, zw, 0x88), _mm512_shuffle_f32x4(xy, zw, 0xdd));
}
THERMOCLINE_INLINE __m512 add_2_apart(__m512 a, __m512 b) {  // in each quarter [a, a, b, b]
  return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
}
THERMOCLINE_INLINE __m512 add_1_apart(__m512 ab, __m512 cd) {  // in each quarter [a, b, c, d]
  return _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x88), _mm512_shuffle_ps(ab, cd, 0xdd));
}
THERMOCLINE_INLINE F32x16 reduce_add_each(const F32x16 (&v)[16]) {
  __m512 columns[4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++)
    columns[j] = add_4_apart(add_8_apart(v[j].v, v[j + 4].v), add_8_apart(v[j + 8].v, v[j + 12].v));
  return {add_1_apart(add_2_apart(columns[0], columns[1]), add_2_apart(columns[2], columns[3]))};
}
THERMOCLINE_INLINE F32x16 lane_numbers() { return {_mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)}; }

THERMOCLINE_INLINE I32x16 splat_int(int32_t x) { return {_mm512_set1_epi32(x)}; }
THERMOCLINE_INLINE I32x16 as_int(F32x16 a) { return {_mm512_castps_si512(a.v)}; }
THERMOCLINE_INLINE F32x16 as_float(I32x16 a) { return {_mm512_castsi512_ps(a.v)}; }
THERMOCLINE_INLINE I32x16 add(I32x16 a, I32x16 b) { return {_mm512_add_epi32(a.v, b.v)}; }
THERMOCLINE_INLINE I32x16 sub(I32x16 a, I32x16 b) { return {_mm512_sub_epi32(a.v, b.v)}; }
THERMOCLINE_INLINE I32x16 bit_and(I32x16 a, I32x16 b) { return {_mm512_and_si512(a.v, b.v)}; }
THERMOCLINE_INLINE I32x16 bit_or(I32x16 a, I32x16 b) { return {_mm512_or_si512(a.v, b.v)}; }
THERMOCLINE_INLINE I32x16 max(I32x16 a, I32x16 b) { return {_mm512_max_epi32(a.v, b.v)}; }
template <int N>
THERMOCLINE_INLINE I32x16 shift_left(I32x16 a) { return {_mm512_slli_epi32(a.v, N)}; }
template <int N>
THERMOCLINE_INLINE I32x16 shift_right(I32x16 a) { return {_mm512_srai_epi32(a.v, N)}; }
THERMOCLINE_INLINE int32_t reduce_add(I32x16 a) { return _mm512_reduce_add_epi32(a.v); }
THERMOCLINE_INLINE int32_t reduce_max(I32x16 a) { return _mm512_reduce_max_epi32(a.v); }
THERMOCLINE_INLINE F32x16 to_float(I32x16 a) { return {_mm512_cvtepi32_ps(a.v)}; }
THERMOCLINE_INLINE I32x16 round_to_int(F32x16 a) {
  return {_mm512_cvt_roundps_epi32(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
THERMOCLINE_INLINE void store_int8(int8_t* p, I32x16 a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v)); }

THERMOCLINE_INLINE I32x16 load_int8(const std::byte* p) { return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))}; }
THERMOCLINE_INLINE I32x16 load_uint8(const std::byte* p) { return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))}; }
THERMOCLINE_INLINE F32x16 splat_half(const std::byte* p) {
  int16_t half;
  memcpy(&half, p, sizeof half);
  return {_mm512_cvtph_ps(_mm256_set1_epi16(half))};
}

THERMOCLINE_INLINE Bytes load_bytes(const std::byte* p) { return {_mm512_loadu_si512(p)}; }
THERMOCLINE_INLINE Bytes low_nibbles(Bytes a) { return {_mm512_and_si512(a.v, _mm512_set1_epi8(15))}; }
THERMOCLINE_INLINE Bytes high_nibbles(Bytes a) { return {_mm512_and_si512(_mm512_srli_epi16(a.v, 4), _mm512_set1_epi8(15))}; }

// The same 4 bytes for every row: a broadcast that the dot instruction folds into its memory operand.
THERMOCLINE_INLINE __m512i splat_4_bytes(const int8_t* x) {
  int32_t four;
  memcpy(&four, x, sizeof four);
  return _mm512_set1_epi32(four);
}

THERMOCLINE_INLINE I32x16 dot_codes(I32x16 sum, Bytes codes, const int8_t* x) {
  return {_mm512_dpbusd_epi32(sum.v, codes.v, splat_4_bytes(x))};
}

using NibbleSum = I32x16;
THERMOCLINE_INLINE NibbleSum begin_nibbles(int32_t correction) { return splat_int(correction); }
THERMOCLINE_INLINE NibbleSum dot_nibbles(NibbleSum sum, Bytes nibbles, const int8_t* x) {
  return {_mm512_dpbusd_epi32(sum.v, nibbles.v, splat_4_bytes(x))};
}
THERMOCLINE_INLINE I32x16 end_nibbles(NibbleSum sum, int32_t) { return sum; }

// vpdpbusd wants its first operand unsigned.
constexpr int32_t byte_offset = 128;
THERMOCLINE_INLINE Bytes offset_bytes(Bytes a) { return {_mm512_xor_si512(a.v, _mm512_set1_epi8(-128))}; }
THERMOCLINE_INLINE I32x16 dot_bytes(I32x16 sum, Bytes bytes, const int8_t* x) {
  return {_mm512_dpbusd_epi32(sum.v, bytes.v, splat_4_bytes(x))};
}

THERMOCLINE_INLINE void store_five_bit_codes(uint8_t* codes, const uint8_t* nibbles, uint32_t fifth_bits) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(nibbles));
  const __m256i both = _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes), _mm256_set1_epi8(15));
  const __m256i upper = _mm256_maskz_set1_epi8(fifth_bits, 16);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), _mm256_or_si256(both, upper));
}
THERMOCLINE_INLINE void store_table_values(uint8_t* low, uint8_t* high, const int8_t (&table)[16], const uint8_t* nibbles) {
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(nibbles));
  const __m128i mask = _mm_set1_epi8(15);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(low), _mm_shuffle_epi8(values, _mm_and_si128(bytes, mask)));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(high), _mm_shuffle_epi8(values, _mm_and_si128(_mm_srli_epi16(bytes, 4), mask)));
}

// A transposition of 16 by 16 words of 4 bytes. Pairs of rows are interleaved by 4 and by 8 bytes, which leaves in quarter q of `fours`
// [4 i + j] word 4 q + j of rows 4 i … 4 i + 3; two steps bring the quarters together.
THERMOCLINE_INLINE void interleave_rows(uint8_t* chunks, const uint8_t* rows, int row_bytes) {
  __m512i fours[16];
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    __m512i row[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) row[j] = _mm512_loadu_si512(rows + (4 * i + j) * row_bytes);
    const __m512i low01 = _mm512_unpacklo_epi32(row[0], row[1]), high01 = _mm512_unpackhi_epi32(row[0], row[1]);
    const __m512i low23 = _mm512_unpacklo_epi32(row[2], row[3]), high23 = _mm512_unpackhi_epi32(row[2], row[3]);
    fours[4 * i] = _mm512_unpacklo_epi64(low01, low23);
    fours[4 * i + 1] = _mm512_unpackhi_epi64(low01, low23);
    fours[4 * i + 2] = _mm512_unpacklo_epi64(high01, high23);
    fours[4 * i + 3] = _mm512_unpackhi_epi64(high01, high23);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    // Quarters [0, 1] and [2, 3] of rows 0-7, then of rows 8-15.
    const __m512i first_low = _mm512_shuffle_i32x4(fours[j], fours[4 + j], 0x44);
    const __m512i first_high = _mm512_shuffle_i32x4(fours[j], fours[4 + j], 0xee);
    const __m512i last_low = _mm512_shuffle_i32x4(fours[8 + j], fours[12 + j], 0x44);
    const __m512i last_high = _mm512_shuffle_i32x4(fours[8 + j], fours[12 + j], 0xee);
    _mm512_storeu_si512(chunks + 64 * j, _mm512_shuffle_i32x4(first_low, last_low, 0x88));
    _mm512_storeu_si512(chunks + 64 * (4 + j), _mm512_shuffle_i32x4(first_low, last_low, 0xdd));
    _mm512_storeu_si512(chunks + 64 * (8 + j), _mm512_shuffle_i32x4(first_high, last_high, 0x88));
    _mm512_storeu_si512(chunks + 64 * (12 + j), _mm512_shuffle_i32x4(first_high, last_high, 0xdd));
  }
}


}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
