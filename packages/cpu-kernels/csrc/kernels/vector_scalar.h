// The vector vocabulary in portable C++: 16 lanes are an array. `fma` rounds twice here, so results are near those of the vector
// instruction sets and not equal to them; the order of operations is the same.
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

struct F32x16 { float v[16]; };
struct I32x16 { int32_t v[16]; };
// 4 bytes of each of 16 rows.
struct Bytes { uint8_t v[64]; };

#define THERMOCLINE_LANES for (int i = 0; i < 16; i++)

THERMOCLINE_INLINE F32x16 splat(float x) { F32x16 r; THERMOCLINE_LANES r.v[i] = x; return r; }
THERMOCLINE_INLINE F32x16 load(const float* p) { F32x16 r; memcpy(r.v, p, sizeof r.v); return r; }
THERMOCLINE_INLINE void store(float* p, F32x16 a) { memcpy(p, a.v, sizeof a.v); }
// The first n lanes, 0 < n <= 16; the others are 0.
THERMOCLINE_INLINE F32x16 load(const float* p, int n) { F32x16 r = splat(0); for (int i = 0; i < n; i++) r.v[i] = p[i]; return r; }
THERMOCLINE_INLINE void store(float* p, F32x16 a, int n) { for (int i = 0; i < n; i++) p[i] = a.v[i]; }
// binary16, any alignment that suits uint16_t.
THERMOCLINE_INLINE F32x16 load(const uint16_t* p) { F32x16 r; THERMOCLINE_LANES r.v[i] = half_to_float(p[i]); return r; }
THERMOCLINE_INLINE F32x16 load(const uint16_t* p, int n) {
  F32x16 r = splat(0);
  for (int i = 0; i < n; i++) r.v[i] = half_to_float(p[i]);
  return r;
}
THERMOCLINE_INLINE void store(uint16_t* p, F32x16 a) { THERMOCLINE_LANES p[i] = float_to_half(a.v[i]); }
THERMOCLINE_INLINE void store(uint16_t* p, F32x16 a, int n) { for (int i = 0; i < n; i++) p[i] = float_to_half(a.v[i]); }

THERMOCLINE_INLINE F32x16 add(F32x16 a, F32x16 b) { THERMOCLINE_LANES a.v[i] = a.v[i] + b.v[i]; return a; }
THERMOCLINE_INLINE F32x16 sub(F32x16 a, F32x16 b) { THERMOCLINE_LANES a.v[i] = a.v[i] - b.v[i]; return a; }
THERMOCLINE_INLINE F32x16 mul(F32x16 a, F32x16 b) { THERMOCLINE_LANES a.v[i] = a.v[i] * b.v[i]; return a; }
THERMOCLINE_INLINE F32x16 div(F32x16 a, F32x16 b) { THERMOCLINE_LANES a.v[i] = a.v[i] / b.v[i]; return a; }
// a · b + c
THERMOCLINE_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) { THERMOCLINE_LANES a.v[i] = a.v[i] * b.v[i] + c.v[i]; return a; }
// b where either is NaN.
THERMOCLINE_INLINE F32x16 max(F32x16 a, F32x16 b) { THERMOCLINE_LANES a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i]; return a; }
THERMOCLINE_INLINE F32x16 min(F32x16 a, F32x16 b) { THERMOCLINE_LANES a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i]; return a; }
// a < b ? x : y, so y where either is NaN.
THERMOCLINE_INLINE F32x16 select_less(F32x16 a, F32x16 b, F32x16 x, F32x16 y) {
  THERMOCLINE_LANES y.v[i] = a.v[i] < b.v[i] ? x.v[i] : y.v[i];
  return y;
}

// One tree in every instruction set: lanes 8 apart, then 4, 2, 1.
THERMOCLINE_INLINE float reduce_add(F32x16 a) {
  for (int width = 8; width > 0; width /= 2) for (int i = 0; i < width; i++) a.v[i] = a.v[i] + a.v[i + width];
  return a.v[0];
}
THERMOCLINE_INLINE float reduce_max(F32x16 a) {
  for (int width = 8; width > 0; width /= 2) for (int i = 0; i < width; i++) a.v[i] = a.v[i] > a.v[i + width] ? a.v[i] : a.v[i + width];
  return a.v[0];
}
// Lane i is reduce_add(v[i]), by the same tree.
THERMOCLINE_INLINE F32x16 reduce_add_each(const F32x16 (&v)[16]) { F32x16 r; THERMOCLINE_LANES r.v[i] = reduce_add(v[i]); return r; }
// 0, 1, … 15
THERMOCLINE_INLINE F32x16 lane_numbers() { F32x16 r; THERMOCLINE_LANES r.v[i] = static_cast<float>(i); return r; }

// Integer lanes wrap around.
THERMOCLINE_INLINE I32x16 splat_int(int32_t x) { I32x16 r; THERMOCLINE_LANES r.v[i] = x; return r; }
THERMOCLINE_INLINE I32x16 as_int(F32x16 a) { I32x16 r; memcpy(&r, &a, sizeof r); return r; }
THERMOCLINE_INLINE F32x16 as_float(I32x16 a) { F32x16 r; memcpy(&r, &a, sizeof r); return r; }
THERMOCLINE_INLINE I32x16 add(I32x16 a, I32x16 b) {
  THERMOCLINE_LANES a.v[i] = static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) + static_cast<uint32_t>(b.v[i]));
  return a;
}
THERMOCLINE_INLINE I32x16 sub(I32x16 a, I32x16 b) {
  THERMOCLINE_LANES a.v[i] = static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) - static_cast<uint32_t>(b.v[i]));
  return a;
}
THERMOCLINE_INLINE I32x16 bit_and(I32x16 a, I32x16 b) { THERMOCLINE_LANES a.v[i] &= b.v[i]; return a; }
THERMOCLINE_INLINE I32x16 bit_or(I32x16 a, I32x16 b) { THERMOCLINE_LANES a.v[i] |= b.v[i]; return a; }
THERMOCLINE_INLINE I32x16 max(I32x16 a, I32x16 b) { THERMOCLINE_LANES a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i]; return a; }
template <int N>
THERMOCLINE_INLINE I32x16 shift_left(I32x16 a) {
  THERMOCLINE_LANES a.v[i] = static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) << N);
  return a;
}
// Keeps the sign.
template <int N>
THERMOCLINE_INLINE I32x16 shift_right(I32x16 a) { THERMOCLINE_LANES a.v[i] >>= N; return a; }
THERMOCLINE_INLINE int32_t reduce_add(I32x16 a) {
  uint32_t sum = 0;
  THERMOCLINE_LANES sum += static_cast<uint32_t>(a.v[i]);
  return static_cast<int32_t>(sum);
}
THERMOCLINE_INLINE int32_t reduce_max(I32x16 a) {
  int32_t largest = a.v[0];
  THERMOCLINE_LANES largest = a.v[i] > largest ? a.v[i] : largest;
  return largest;
}
THERMOCLINE_INLINE F32x16 to_float(I32x16 a) { F32x16 r; THERMOCLINE_LANES r.v[i] = static_cast<float>(a.v[i]); return r; }
// Nearest, ties to even, for |a| < 2^22: adding 1.5 · 2^23 leaves the integer in the low bits.
THERMOCLINE_INLINE I32x16 round_to_int(F32x16 a) {
  THERMOCLINE_LANES a.v[i] = a.v[i] + 12582912.0f;
  return sub(as_int(a), splat_int(0x4b400000));
}
// Lanes within [-128, 127].
THERMOCLINE_INLINE void store_int8(int8_t* p, I32x16 a) { THERMOCLINE_LANES p[i] = static_cast<int8_t>(a.v[i]); }

THERMOCLINE_INLINE Bytes load_bytes(const std::byte* p) { Bytes r; memcpy(r.v, p, sizeof r.v); return r; }
THERMOCLINE_INLINE Bytes low_nibbles(Bytes a) { for (int i = 0; i < 64; i++) a.v[i] &= 15; return a; }
THERMOCLINE_INLINE Bytes high_nibbles(Bytes a) { for (int i = 0; i < 64; i++) a.v[i] >>= 4; return a; }

// Sums of nibble · int8 products. `begin` and `end` take the same correction, which one of the two adds; between them lie at most 8
// steps, each 4 nibbles of every row times the 4 values at x.
using NibbleSum = I32x16;
THERMOCLINE_INLINE NibbleSum begin_nibbles(int32_t correction) { return splat_int(correction); }
THERMOCLINE_INLINE NibbleSum dot_nibbles(NibbleSum sum, Bytes nibbles, const int8_t* x) {
  THERMOCLINE_LANES for (int j = 0; j < 4; j++) sum.v[i] += nibbles.v[4 * i + j] * x[j];
  return sum;
}
THERMOCLINE_INLINE I32x16 end_nibbles(NibbleSum sum, int32_t) { return sum; }

// Products of signed bytes are summed as (byte + byte_offset) · x; the caller takes byte_offset · Σx away.
constexpr int32_t byte_offset = 0;
THERMOCLINE_INLINE Bytes offset_bytes(Bytes a) { return a; }
THERMOCLINE_INLINE I32x16 dot_bytes(I32x16 sum, Bytes bytes, const int8_t* x) {
  THERMOCLINE_LANES for (int j = 0; j < 4; j++) sum.v[i] += static_cast<int8_t>(bytes.v[4 * i + j]) * x[j];
  return sum;
}

#undef THERMOCLINE_LANES

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
