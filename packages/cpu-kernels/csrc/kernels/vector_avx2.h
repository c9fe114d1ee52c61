// The vector vocabulary on AVX2, FMA and F16C: 16 lanes are two registers, lanes 0-7 and 8-15. What each name means: vector_scalar.h.
// Float operations and their order are those of vector_avx512.h, so that both give the same bits.
#pragma once
#include <immintrin.h>
#include <string.h>

#include <cstddef>
#include <cstdint>

#define THERMOCLINE_INLINE inline __attribute__((always_inline))

namespace thermocline::THERMOCLINE_ISA {
namespace {

constexpr int max_quantised_tile = 4;
// 4 accumulators of 2 registers a token: two tokens fill the 16 registers.
constexpr int max_float_tile = 2;

struct F32x16 { __m256 lo, hi; };
struct I32x16 { __m256i lo, hi; };
struct Bytes { __m256i lo, hi; };

// Eight ones and eight zeros: read at 8 - n, the first n of eight lanes are ones.
alignas(64) constexpr int32_t lane_masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
THERMOCLINE_INLINE __m256i first_lanes(int n) {
  const int count = n < 0 ? 0 : n > 8 ? 8 : n;
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lane_masks + 8 - count));
}

THERMOCLINE_INLINE F32x16 splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
THERMOCLINE_INLINE F32x16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
THERMOCLINE_INLINE void store(float* p, F32x16 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
// The upper half is addressed only where it holds lanes: a pointer past the end of an array is not formed.
THERMOCLINE_INLINE F32x16 load(const float* p, int n) {
  return {_mm256_maskload_ps(p, first_lanes(n)), n > 8 ? _mm256_maskload_ps(p + 8, first_lanes(n - 8)) : _mm256_setzero_ps()};
}
THERMOCLINE_INLINE void store(float* p, F32x16 a, int n) {
  _mm256_maskstore_ps(p, first_lanes(n), a.lo);
  if (n > 8) _mm256_maskstore_ps(p + 8, first_lanes(n - 8), a.hi);
}
THERMOCLINE_INLINE F32x16 load(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
THERMOCLINE_INLINE F32x16 load(const uint16_t* p, int n) {
  uint16_t lanes[16] = {};
  memcpy(lanes, p, sizeof(uint16_t) * static_cast<size_t>(n));
  return load(lanes);
}
struct BFloat16 { uint16_t bits; };
THERMOCLINE_INLINE __m256 load_eight(const BFloat16* p) {
  const __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
}
THERMOCLINE_INLINE F32x16 load(const BFloat16* p) { return {load_eight(p), load_eight(p + 8)}; }
THERMOCLINE_INLINE void store(uint16_t* p, F32x16 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
THERMOCLINE_INLINE void store(uint16_t* p, F32x16 a, int n) {
  uint16_t lanes[16];
  store(lanes, a);
  memcpy(p, lanes, sizeof(uint16_t) * static_cast<size_t>(n));
}

THERMOCLINE_INLINE F32x16 add(F32x16 a, F32x16 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
THERMOCLINE_INLINE F32x16 sub(F32x16 a, F32x16 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
THERMOCLINE_INLINE F32x16 mul(F32x16 a, F32x16 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
THERMOCLINE_INLINE F32x16 div(F32x16 a, F32x16 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
THERMOCLINE_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
THERMOCLINE_INLINE F32x16 max(F32x16 a, F32x16 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
THERMOCLINE_INLINE F32x16 min(F32x16 a, F32x16 b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
THERMOCLINE_INLINE F32x16 select_less(F32x16 a, F32x16 b, F32x16 x, F32x16 y) {
  return {_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}

THERMOCLINE_INLINE float reduce_add(F32x16 a) {
  const __m256 eight = _mm256_add_ps(a.lo, a.hi);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
THERMOCLINE_INLINE float reduce_max(F32x16 a) {
  const __m256 eight = _mm256_max_ps(a.lo, a.hi);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
// A transposition whose levels add what they bring side by side, 8 sums at a time.
THERMOCLINE_INLINE __m256 add_4_apart(__m256 x, __m256 y) {  // 128-bit halves [x, y]
  return _mm256_add_ps(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31));
}
THERMOCLINE_INLINE __m256 add_2_apart(__m256 a, __m256 b) {  // in each half [a, a, b, b]
  return _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
}
THERMOCLINE_INLINE __m256 add_1_apart(__m256 ab, __m256 cd) {  // in each half [a, b, c, d]
  return _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x88), _mm256_shuffle_ps(ab, cd, 0xdd));
}
THERMOCLINE_INLINE __m256 reduce_add_eight(const F32x16* v) {
  __m256 columns[4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) columns[j] = add_4_apart(_mm256_add_ps(v[j].lo, v[j].hi), _mm256_add_ps(v[j + 4].lo, v[j + 4].hi));
  return add_1_apart(add_2_apart(columns[0], columns[1]), add_2_apart(columns[2], columns[3]));
}
THERMOCLINE_INLINE F32x16 reduce_add_each(const F32x16 (&v)[16]) { return {reduce_add_eight(v), reduce_add_eight(v + 8)}; }
THERMOCLINE_INLINE F32x16 lane_numbers() {
  return {_mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7), _mm256_setr_ps(8, 9, 10, 11, 12, 13, 14, 15)};
}

THERMOCLINE_INLINE I32x16 splat_int(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
THERMOCLINE_INLINE I32x16 as_int(F32x16 a) { return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
THERMOCLINE_INLINE F32x16 as_float(I32x16 a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }
THERMOCLINE_INLINE I32x16 add(I32x16 a, I32x16 b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
THERMOCLINE_INLINE I32x16 sub(I32x16 a, I32x16 b) { return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)}; }
THERMOCLINE_INLINE I32x16 bit_and(I32x16 a, I32x16 b) { return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)}; }
THERMOCLINE_INLINE I32x16 bit_or(I32x16 a, I32x16 b) { return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
THERMOCLINE_INLINE I32x16 max(I32x16 a, I32x16 b) { return {_mm256_max_epi32(a.lo, b.lo), _mm256_max_epi32(a.hi, b.hi)}; }
template <int N>
THERMOCLINE_INLINE I32x16 shift_left(I32x16 a) { return {_mm256_slli_epi32(a.lo, N), _mm256_slli_epi32(a.hi, N)}; }
template <int N>
THERMOCLINE_INLINE I32x16 shift_right(I32x16 a) { return {_mm256_srai_epi32(a.lo, N), _mm256_srai_epi32(a.hi, N)}; }
THERMOCLINE_INLINE int32_t reduce_add(I32x16 a) {
  const __m256i eight = _mm256_add_epi32(a.lo, a.hi);
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}
THERMOCLINE_INLINE int32_t reduce_max(I32x16 a) {
  const __m256i eight = _mm256_max_epi32(a.lo, a.hi);
  const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
  return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 1)));
}
THERMOCLINE_INLINE F32x16 to_float(I32x16 a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
// Rounds first, so that the caller's rounding mode does not matter.
THERMOCLINE_INLINE I32x16 round_to_int(F32x16 a) {
  return {_mm256_cvttps_epi32(_mm256_round_ps(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)),
          _mm256_cvttps_epi32(_mm256_round_ps(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))};
}
THERMOCLINE_INLINE void store_int8(int8_t* p, I32x16 a) {
  // The pack works within 128-bit halves; the permutation puts the four quarters back into order.
  const __m256i shorts = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(shorts), _mm256_extracti128_si256(shorts, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}

THERMOCLINE_INLINE I32x16 load_int8(const std::byte* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(bytes, bytes))};
}
THERMOCLINE_INLINE I32x16 load_uint8(const std::byte* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_unpackhi_epi64(bytes, bytes))};
}
THERMOCLINE_INLINE F32x16 splat_half(const std::byte* p) {
  int16_t half;
  memcpy(&half, p, sizeof half);
  const __m256 lanes = _mm256_cvtph_ps(_mm_set1_epi16(half));
  return {lanes, lanes};
}

THERMOCLINE_INLINE Bytes load_bytes(const std::byte* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
}
THERMOCLINE_INLINE Bytes low_nibbles(Bytes a) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(a.lo, mask), _mm256_and_si256(a.hi, mask)};
}
THERMOCLINE_INLINE Bytes high_nibbles(Bytes a) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(_mm256_srli_epi16(a.lo, 4), mask), _mm256_and_si256(_mm256_srli_epi16(a.hi, 4), mask)};
}

THERMOCLINE_INLINE __m256i splat_4_bytes(const int8_t* x) {
  int32_t four;
  memcpy(&four, x, sizeof four);
  return _mm256_set1_epi32(four);
}

// 2 · 128 · 127 = 32512 fits the 16-bit pair sum.
THERMOCLINE_INLINE I32x16 dot_codes(I32x16 sum, Bytes codes, const int8_t* x) {
  const __m256i values = splat_4_bytes(x);
  const __m256i ones = _mm256_set1_epi16(1);
  return {_mm256_add_epi32(sum.lo, _mm256_madd_epi16(_mm256_maddubs_epi16(codes.lo, values), ones)),
          _mm256_add_epi32(sum.hi, _mm256_madd_epi16(_mm256_maddubs_epi16(codes.hi, values), ones))};
}

// 16-bit sums of pairs: a step adds at most 2 · 15 · 127 = 3810, so 8 steps (30480) fit without saturation.
struct NibbleSum { __m256i lo, hi; };
THERMOCLINE_INLINE NibbleSum begin_nibbles(int32_t) { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
THERMOCLINE_INLINE NibbleSum dot_nibbles(NibbleSum sum, Bytes nibbles, const int8_t* x) {
  const __m256i values = splat_4_bytes(x);
  return {_mm256_add_epi16(sum.lo, _mm256_maddubs_epi16(nibbles.lo, values)),
          _mm256_add_epi16(sum.hi, _mm256_maddubs_epi16(nibbles.hi, values))};
}
THERMOCLINE_INLINE I32x16 end_nibbles(NibbleSum sum, int32_t correction) {
  const __m256i ones = _mm256_set1_epi16(1);
  return add(I32x16{_mm256_madd_epi16(sum.lo, ones), _mm256_madd_epi16(sum.hi, ones)}, splat_int(correction));
}

// |w| · (x with w's sign): 2 · 128 · 127 = 32512 fits the 16-bit pair sum, which u8 · s8 with an offset would not.
constexpr int32_t byte_offset = 0;
THERMOCLINE_INLINE Bytes offset_bytes(Bytes a) { return a; }
THERMOCLINE_INLINE I32x16 dot_bytes(I32x16 sum, Bytes bytes, const int8_t* x) {
  const __m256i values = splat_4_bytes(x);
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i lo = _mm256_maddubs_epi16(_mm256_abs_epi8(bytes.lo), _mm256_sign_epi8(values, bytes.lo));
  const __m256i hi = _mm256_maddubs_epi16(_mm256_abs_epi8(bytes.hi), _mm256_sign_epi8(values, bytes.hi));
  return {_mm256_add_epi32(sum.lo, _mm256_madd_epi16(lo, ones)), _mm256_add_epi32(sum.hi, _mm256_madd_epi16(hi, ones))};
}

THERMOCLINE_INLINE void store_five_bit_codes(uint8_t* codes, const uint8_t* nibbles, uint32_t fifth_bits) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(nibbles));
  const __m256i both = _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes), _mm256_set1_epi8(15));
  // The byte of bits that each code needs, then its own bit.
  const __m256i places = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i own = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201u));
  const __m256i bits = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int32_t>(fifth_bits)), places), own);
  const __m256i upper = _mm256_and_si256(_mm256_cmpeq_epi8(bits, own), _mm256_set1_epi8(16));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), _mm256_or_si256(both, upper));
}
THERMOCLINE_INLINE void store_table_values(uint8_t* low, uint8_t* high, const int8_t (&table)[16], const uint8_t* nibbles) {
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(nibbles));
  const __m128i mask = _mm_set1_epi8(15);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(low), _mm_shuffle_epi8(values, _mm_and_si128(bytes, mask)));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(high), _mm_shuffle_epi8(values, _mm_and_si128(_mm_srli_epi16(bytes, 4), mask)));
}

// A transposition of 8 by 8 words of 4 bytes: 32 bytes of 8 rows to the same half of 8 chunks.
THERMOCLINE_INLINE void interleave_eight_rows(uint8_t* chunks, const uint8_t* rows, int row_bytes) {
  __m256i fours[8];  // [4 i + j]: words j and 4 + j of rows 4 i … 4 i + 3
#pragma GCC unroll 2
  for (int i = 0; i < 2; i++) {
    __m256i row[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) row[j] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows + (4 * i + j) * row_bytes));
    const __m256i low01 = _mm256_unpacklo_epi32(row[0], row[1]), high01 = _mm256_unpackhi_epi32(row[0], row[1]);
    const __m256i low23 = _mm256_unpacklo_epi32(row[2], row[3]), high23 = _mm256_unpackhi_epi32(row[2], row[3]);
    fours[4 * i] = _mm256_unpacklo_epi64(low01, low23);
    fours[4 * i + 1] = _mm256_unpackhi_epi64(low01, low23);
    fours[4 * i + 2] = _mm256_unpacklo_epi64(high01, high23);
    fours[4 * i + 3] = _mm256_unpackhi_epi64(high01, high23);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(chunks + 64 * j), _mm256_permute2x128_si256(fours[j], fours[4 + j], 0x20));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(chunks + 64 * (4 + j)), _mm256_permute2x128_si256(fours[j], fours[4 + j], 0x31));
  }
}
THERMOCLINE_INLINE void interleave_rows(uint8_t* chunks, const uint8_t* rows, int row_bytes) {
  for (int eight = 0; eight < 2; eight++) {
    interleave_eight_rows(chunks + 32 * eight, rows + 8 * eight * row_bytes, row_bytes);
    interleave_eight_rows(chunks + 512 + 32 * eight, rows + 8 * eight * row_bytes + 32, row_bytes);
  }
}


}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
