// The vector vocabulary in portable C++ (GCC, Clang; little-endian): 16 lanes are four 4-lane vectors of the compiler's own, which it maps
// to whatever the processor has. An array of 16 lanes would stay in memory through most of the optimiser: three times the compile time,
// for matrix products at a third of the speed. `fma` rounds twice here, so results are near those of the vector instruction sets and not
// equal to them; the order of operations is the same.
#pragma once
#include <cstddef>
#include <cstdint>

#include "half.h"

// Under a sanitizer, which instruments every lane, inlining any of it would take minutes to compile.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define THERMOCLINE_INLINE __attribute__((noinline, unused))
#else
#define THERMOCLINE_INLINE inline __attribute__((always_inline))
#endif

namespace thermocline::THERMOCLINE_ISA {
namespace {

// Largest number of tokens that share one pass over a weight.
constexpr int max_quantised_tile = 4;
constexpr int max_float_tile = 4;

using Floats = float __attribute__((vector_size(16)));
using Ints = int32_t __attribute__((vector_size(16)));
using Words = uint32_t __attribute__((vector_size(16)));
using Halfwords = uint16_t __attribute__((vector_size(16)));

// Lanes 0-3, 4-7, 8-11, 12-15.
struct F32x16 { Floats a, b, c, d; };
struct I32x16 { Ints a, b, c, d; };
// 4 bytes of each of 16 rows; a halfword is two of a row, the first one low.
struct Bytes { Halfwords a, b, c, d; };

template <typename Vectors, typename Lane>
THERMOCLINE_INLINE Vectors from_lanes(const Lane (&lanes)[16]) { Vectors r; memcpy(&r, lanes, sizeof r); return r; }
template <typename Lane, typename Vectors>
THERMOCLINE_INLINE void to_lanes(Lane (&lanes)[16], Vectors x) { memcpy(lanes, &x, sizeof x); }

THERMOCLINE_INLINE F32x16 splat(float x) { const Floats q = {x, x, x, x}; return {q, q, q, q}; }
THERMOCLINE_INLINE F32x16 load(const float* p) { F32x16 r; memcpy(&r, p, sizeof r); return r; }
THERMOCLINE_INLINE void store(float* p, F32x16 x) { memcpy(p, &x, sizeof x); }
// The first n lanes, 0 < n <= 16; the others are 0.
THERMOCLINE_INLINE F32x16 load(const float* p, int n) {
  float lanes[16] = {};
  for (int i = 0; i < n; i++) lanes[i] = p[i];
  return from_lanes<F32x16>(lanes);
}
THERMOCLINE_INLINE void store(float* p, F32x16 x, int n) {
  float lanes[16];
  to_lanes(lanes, x);
  for (int i = 0; i < n; i++) p[i] = lanes[i];
}
// binary16, any alignment that suits uint16_t. By the steps of half_to_float, in signed lanes, whose comparisons more processors have.
THERMOCLINE_INLINE Floats halves_to_floats(const uint16_t* p) {
  const Ints half = {p[0], p[1], p[2], p[3]};
  const Ints magnitude = half & 0x7fff;
  const Ints sign = reinterpret_cast<Ints>(reinterpret_cast<Words>(half & 0x8000) << 16);
  const Ints special = ((magnitude >= 0x7c00) & 0x7f800000) | ((magnitude > 0x7c00) & 0x400000);
  const Floats scaled = reinterpret_cast<Floats>(magnitude << 13) * 0x1p112f;
  return reinterpret_cast<Floats>(reinterpret_cast<Ints>(scaled) | special | sign);
}
THERMOCLINE_INLINE F32x16 load(const uint16_t* p) {
  return {halves_to_floats(p), halves_to_floats(p + 4), halves_to_floats(p + 8), halves_to_floats(p + 12)};
}
THERMOCLINE_INLINE F32x16 load(const uint16_t* p, int n) {
  uint16_t lanes[16] = {};
  for (int i = 0; i < n; i++) lanes[i] = p[i];
  return load(lanes);
}
// bfloat16: the upper half of a float.
struct BFloat16 { uint16_t bits; };
THERMOCLINE_INLINE Floats bfloats_to_floats(const BFloat16* p) {
  const Words bits = {p[0].bits, p[1].bits, p[2].bits, p[3].bits};
  return reinterpret_cast<Floats>(bits << 16);
}
THERMOCLINE_INLINE F32x16 load(const BFloat16* p) {
  return {bfloats_to_floats(p), bfloats_to_floats(p + 4), bfloats_to_floats(p + 8), bfloats_to_floats(p + 12)};
}
THERMOCLINE_INLINE void store(uint16_t* p, F32x16 x, int n) {
  float lanes[16];
  to_lanes(lanes, x);
  for (int i = 0; i < n; i++) p[i] = float_to_half(lanes[i]);
}
THERMOCLINE_INLINE void store(uint16_t* p, F32x16 x) { store(p, x, 16); }

THERMOCLINE_INLINE F32x16 add(F32x16 x, F32x16 y) { return {x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d}; }
THERMOCLINE_INLINE F32x16 sub(F32x16 x, F32x16 y) { return {x.a - y.a, x.b - y.b, x.c - y.c, x.d - y.d}; }
THERMOCLINE_INLINE F32x16 mul(F32x16 x, F32x16 y) { return {x.a * y.a, x.b * y.b, x.c * y.c, x.d * y.d}; }
THERMOCLINE_INLINE F32x16 div(F32x16 x, F32x16 y) { return {x.a / y.a, x.b / y.b, x.c / y.c, x.d / y.d}; }
// x · y + z
THERMOCLINE_INLINE F32x16 fma(F32x16 x, F32x16 y, F32x16 z) {
  return {x.a * y.a + z.a, x.b * y.b + z.b, x.c * y.c + z.c, x.d * y.d + z.d};
}
// x < y ? u : v, so v where either is NaN.
THERMOCLINE_INLINE F32x16 select_less(F32x16 x, F32x16 y, F32x16 u, F32x16 v) {
  return {x.a < y.a ? u.a : v.a, x.b < y.b ? u.b : v.b, x.c < y.c ? u.c : v.c, x.d < y.d ? u.d : v.d};
}
// y where either is NaN.
THERMOCLINE_INLINE F32x16 max(F32x16 x, F32x16 y) { return select_less(y, x, x, y); }
THERMOCLINE_INLINE F32x16 min(F32x16 x, F32x16 y) { return select_less(x, y, x, y); }

// One tree in every instruction set: lanes 8 apart, then 4, 2, 1.
THERMOCLINE_INLINE float reduce_add(F32x16 x) {
  const Floats four = (x.a + x.c) + (x.b + x.d);
  return (four[0] + four[2]) + (four[1] + four[3]);
}
THERMOCLINE_INLINE float reduce_max(F32x16 x) {
  const Floats first = x.a > x.c ? x.a : x.c, second = x.b > x.d ? x.b : x.d;
  const Floats four = first > second ? first : second;
  const float even = four[0] > four[2] ? four[0] : four[2], odd = four[1] > four[3] ? four[1] : four[3];
  return even > odd ? even : odd;
}
// Lane i is reduce_add(v[i]), by the same tree.
THERMOCLINE_INLINE F32x16 reduce_add_each(const F32x16 (&v)[16]) {
  float lanes[16];
  for (int i = 0; i < 16; i++) lanes[i] = reduce_add(v[i]);
  return from_lanes<F32x16>(lanes);
}
// 0, 1, … 15
THERMOCLINE_INLINE F32x16 lane_numbers() { return {Floats{0, 1, 2, 3}, Floats{4, 5, 6, 7}, Floats{8, 9, 10, 11}, Floats{12, 13, 14, 15}}; }

// Integer lanes wrap around.
THERMOCLINE_INLINE I32x16 splat_int(int32_t x) { const Ints q = {x, x, x, x}; return {q, q, q, q}; }
THERMOCLINE_INLINE I32x16 as_int(F32x16 x) { I32x16 r; memcpy(&r, &x, sizeof r); return r; }
THERMOCLINE_INLINE F32x16 as_float(I32x16 x) { F32x16 r; memcpy(&r, &x, sizeof r); return r; }
THERMOCLINE_INLINE Ints add(Ints x, Ints y) { return reinterpret_cast<Ints>(reinterpret_cast<Words>(x) + reinterpret_cast<Words>(y)); }
THERMOCLINE_INLINE Ints sub(Ints x, Ints y) { return reinterpret_cast<Ints>(reinterpret_cast<Words>(x) - reinterpret_cast<Words>(y)); }
template <int N>
THERMOCLINE_INLINE Ints shift_left(Ints x) { return reinterpret_cast<Ints>(reinterpret_cast<Words>(x) << N); }
THERMOCLINE_INLINE I32x16 add(I32x16 x, I32x16 y) { return {add(x.a, y.a), add(x.b, y.b), add(x.c, y.c), add(x.d, y.d)}; }
THERMOCLINE_INLINE I32x16 sub(I32x16 x, I32x16 y) { return {sub(x.a, y.a), sub(x.b, y.b), sub(x.c, y.c), sub(x.d, y.d)}; }
THERMOCLINE_INLINE I32x16 bit_and(I32x16 x, I32x16 y) { return {x.a & y.a, x.b & y.b, x.c & y.c, x.d & y.d}; }
THERMOCLINE_INLINE I32x16 bit_or(I32x16 x, I32x16 y) { return {x.a | y.a, x.b | y.b, x.c | y.c, x.d | y.d}; }
THERMOCLINE_INLINE I32x16 max(I32x16 x, I32x16 y) {
  return {x.a > y.a ? x.a : y.a, x.b > y.b ? x.b : y.b, x.c > y.c ? x.c : y.c, x.d > y.d ? x.d : y.d};
}
template <int N>
THERMOCLINE_INLINE I32x16 shift_left(I32x16 x) { return {shift_left<N>(x.a), shift_left<N>(x.b), shift_left<N>(x.c), shift_left<N>(x.d)}; }
// Keeps the sign.
template <int N>
THERMOCLINE_INLINE I32x16 shift_right(I32x16 x) { return {x.a >> N, x.b >> N, x.c >> N, x.d >> N}; }
THERMOCLINE_INLINE int32_t reduce_add(I32x16 x) {
  const Words four = reinterpret_cast<Words>(add(add(x.a, x.b), add(x.c, x.d)));
  return static_cast<int32_t>(four[0] + four[1] + four[2] + four[3]);
}
THERMOCLINE_INLINE int32_t reduce_max(I32x16 x) {
  int32_t lanes[16];
  to_lanes(lanes, x);
  int32_t largest = lanes[0];
  for (int i = 1; i < 16; i++) largest = lanes[i] > largest ? lanes[i] : largest;
  return largest;
}
THERMOCLINE_INLINE F32x16 to_float(I32x16 x) {
  return {__builtin_convertvector(x.a, Floats), __builtin_convertvector(x.b, Floats), __builtin_convertvector(x.c, Floats),
          __builtin_convertvector(x.d, Floats)};
}
// Nearest, ties to even, for |x| < 2^22: adding 1.5 · 2^23 leaves the integer in the low bits.
THERMOCLINE_INLINE I32x16 round_to_int(F32x16 x) { return sub(as_int(add(x, splat(12582912.0f))), splat_int(0x4b400000)); }
// Lanes within [-128, 127].
THERMOCLINE_INLINE void store_int8(int8_t* p, I32x16 x) {
  int32_t lanes[16];
  to_lanes(lanes, x);
  for (int i = 0; i < 16; i++) p[i] = static_cast<int8_t>(lanes[i]);
}

// 16 bytes, signed or not, a lane each.
THERMOCLINE_INLINE I32x16 load_int8(const std::byte* p) {
  int32_t lanes[16];
  for (int i = 0; i < 16; i++) lanes[i] = static_cast<int8_t>(p[i]);
  return from_lanes<I32x16>(lanes);
}
THERMOCLINE_INLINE I32x16 load_uint8(const std::byte* p) {
  int32_t lanes[16];
  for (int i = 0; i < 16; i++) lanes[i] = static_cast<uint8_t>(p[i]);
  return from_lanes<I32x16>(lanes);
}
// A binary16 at any address, in all lanes.
THERMOCLINE_INLINE F32x16 splat_half(const std::byte* p) {
  uint16_t half;
  memcpy(&half, p, sizeof half);
  return splat(half_to_float(half));
}

THERMOCLINE_INLINE Bytes load_bytes(const std::byte* p) { Bytes r; memcpy(&r, p, sizeof r); return r; }
THERMOCLINE_INLINE Bytes low_nibbles(Bytes x) { return {x.a & 0x0f0f, x.b & 0x0f0f, x.c & 0x0f0f, x.d & 0x0f0f}; }
THERMOCLINE_INLINE Bytes high_nibbles(Bytes x) { return {x.a >> 4 & 0x0f0f, x.b >> 4 & 0x0f0f, x.c >> 4 & 0x0f0f, x.d >> 4 & 0x0f0f}; }

// sum[row] + the 4 products of each row, one multiplication at a time: this is the portable baseline that the instruction sets are
// measured against.
template <typename Byte>
THERMOCLINE_INLINE I32x16 add_products(I32x16 sum, Bytes bytes, const int8_t* x) {
  Byte factors[64];
  int32_t sums[16];
  memcpy(factors, &bytes, sizeof factors);
  to_lanes(sums, sum);
  for (int i = 0; i < 16; i++) {
    for (int j = 0; j < 4; j++) sums[i] += factors[4 * i + j] * x[j];
  }
  return from_lanes<I32x16>(sums);
}

// 4 bytes of each of 16 rows that are at most 128, times the 4 values at x.
THERMOCLINE_INLINE I32x16 dot_codes(I32x16 sum, Bytes codes, const int8_t* x) { return add_products<uint8_t>(sum, codes, x); }

// Sums of nibble · int8 products. `begin` and `end` take the same correction, which one of the two adds; between them lie at most 8
// steps, each 4 nibbles of every row times the 4 values at x.
using NibbleSum = I32x16;
THERMOCLINE_INLINE NibbleSum begin_nibbles(int32_t correction) { return splat_int(correction); }
THERMOCLINE_INLINE NibbleSum dot_nibbles(NibbleSum sum, Bytes nibbles, const int8_t* x) { return add_products<uint8_t>(sum, nibbles, x); }
THERMOCLINE_INLINE I32x16 end_nibbles(NibbleSum sum, int32_t) { return sum; }

// Products of signed bytes are summed as (byte + byte_offset) · x; the caller takes byte_offset · Σx away.
constexpr int32_t byte_offset = 0;
THERMOCLINE_INLINE Bytes offset_bytes(Bytes x) { return x; }
THERMOCLINE_INLINE I32x16 dot_bytes(I32x16 sum, Bytes bytes, const int8_t* x) { return add_products<int8_t>(sum, bytes, x); }

// 32 codes: the low nibbles of 16 bytes, then the high ones; bit i of `fifth_bits` becomes bit 4 of code i.
THERMOCLINE_INLINE void store_five_bit_codes(uint8_t* codes, const uint8_t* nibbles, uint32_t fifth_bits) {
  for (int i = 0; i < 16; i++) {
    codes[i] = static_cast<uint8_t>((nibbles[i] & 15) | (fifth_bits >> i & 1) << 4);
    codes[i + 16] = static_cast<uint8_t>(nibbles[i] >> 4 | (fifth_bits >> (i + 16) & 1) << 4);
  }
}
// What the low nibbles of 16 bytes name in a table goes to `low`, what the high ones name to `high`, 16 bytes each.
THERMOCLINE_INLINE void store_table_values(uint8_t* low, uint8_t* high, const int8_t (&table)[16], const uint8_t* nibbles) {
  for (int i = 0; i < 16; i++) {
    low[i] = static_cast<uint8_t>(table[nibbles[i] & 15]);
    high[i] = static_cast<uint8_t>(table[nibbles[i] >> 4]);
  }
}

// 64 bytes of each of 16 rows, `row_bytes` apart, as 16 chunks: chunk c holds bytes 4c … 4c + 3 of each row.
THERMOCLINE_INLINE void interleave_rows(uint8_t* chunks, const uint8_t* rows, int row_bytes) {
  for (int row = 0; row < 16; row++) {
    for (int chunk = 0; chunk < 16; chunk++) memcpy(chunks + 64 * chunk + 4 * row, rows + row * row_bytes + 4 * chunk, 4);
  }
}


}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
