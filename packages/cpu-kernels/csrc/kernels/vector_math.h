// exp, tanh and sums over rows, written over the vector vocabulary.
#pragma once
#include "operands.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// e^x within 1.1 ulp where the result is a normal number; 0 below 2^-126, infinity above the largest float, NaN for NaN.
// x = n ln 2 + r, |r| <= ln 2 / 2; e^r = 1 + r + r² P(r), P the minimax polynomial of degree 4 (relative error 3e-9).
// ln 2 is split in two so that n times the upper part is exact.
THERMOCLINE_INLINE F32x16 exp(F32x16 x) {
  const F32x16 smallest = splat(-87.33654f);
  const F32x16 largest = splat(88.72284f);
  const F32x16 magic = splat(12582912.0f);  // 1.5 · 2^23: adding it rounds to an integer, found in the low bits
  const F32x16 clamped = max(smallest, min(splat(89.0f), x));
  const F32x16 shifted = fma(clamped, splat(1.44269504f), magic);
  const F32x16 n = sub(shifted, magic);
  const F32x16 r = fma(n, splat(2.12194440e-4f), fma(n, splat(-0.693359375f), clamped));
  F32x16 p = splat(1.3814467e-3f);
  p = fma(p, r, splat(8.3687804e-3f));
  p = fma(p, r, splat(4.1668394e-2f));
  p = fma(p, r, splat(1.6666520e-1f));
  p = fma(p, r, splat(4.9999993e-1f));
  const F32x16 power = add(fma(mul(r, r), p, r), splat(1.0f));
  // 2^n in two factors: n reaches 128, which one exponent cannot hold.
  const I32x16 exponent = sub(as_int(shifted), as_int(magic));
  const I32x16 half = shift_right<1>(exponent);
  const I32x16 one = as_int(splat(1.0f));
  const F32x16 first = as_float(add(shift_left<23>(half), one));
  const F32x16 second = as_float(add(shift_left<23>(sub(exponent, half)), one));
  const F32x16 result = mul(mul(power, first), second);
  const F32x16 bounded = select_less(largest, x, splat(__builtin_inff()), result);
  return select_less(x, smallest, splat(0.0f), bounded);
}

// tanh z within 1.4 ulp: odd polynomial z + z³ Q(z²) below 0.625 (relative error 6e-9), 1 - 2 / (e^(2|z|) + 1) above.
THERMOCLINE_INLINE F32x16 tanh(F32x16 z) {
  const I32x16 sign_bit = splat_int(INT32_MIN);
  const F32x16 magnitude = as_float(bit_and(as_int(z), splat_int(INT32_MAX)));
  const F32x16 square = mul(z, z);
  F32x16 q = splat(-5.6039145e-3f);
  q = fma(q, square, splat(2.0551720e-2f));
  q = fma(q, square, splat(-5.3714108e-2f));
  q = fma(q, square, splat(1.3331153e-1f));
  q = fma(q, square, splat(-3.3333272e-1f));
  const F32x16 near = fma(mul(square, z), q, z);
  const F32x16 far = sub(splat(1.0f), div(splat(2.0f), add(exp(add(magnitude, magnitude)), splat(1.0f))));
  const F32x16 signed_far = as_float(bit_or(as_int(far), bit_and(as_int(z), sign_bit)));
  return select_less(magnitude, splat(0.625f), near, signed_far);
}

// x · sigmoid(argument): silu, and gelu too, for 0.5 (1 + tanh u) = sigmoid(2u) without the cancellation.
THERMOCLINE_INLINE F32x16 times_sigmoid(F32x16 x, F32x16 argument) {
  return div(x, add(splat(1.0f), exp(sub(splat(0.0f), argument))));
}

// Σ over a row of n elements in one fixed order; term(sums, i, count) adds elements i … i + count - 1 to the lanes of `sums`. Element i belongs to lane i mod 16 of
// accumulator (i / 16) mod 4; the accumulators are joined as (0 + 1) + (2 + 3), the lanes by `reduce_add`. A row of n elements adds
// at most n / 64 + 6 numbers one after the other, which bounds its relative error by that many half ulps.
template <typename Term>
THERMOCLINE_INLINE float sum_of_row(int64_t n, const Term& term) {
  F32x16 sums[4] = {splat(0.0f), splat(0.0f), splat(0.0f), splat(0.0f)};
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    sums[0] = term(sums[0], i, 16);
    sums[1] = term(sums[1], i + 16, 16);
    sums[2] = term(sums[2], i + 32, 16);
    sums[3] = term(sums[3], i + 48, 16);
  }
  for (int j = 0; i < n; i += 16, j++) sums[j] = term(sums[j], i, static_cast<int>(minimum(16, n - i)));
  return reduce_add(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
}

// 16 elements, or the last few of a row with zeros after them.
template <typename T>
THERMOCLINE_INLINE F32x16 load_lanes(const T* p, int count) {
  return count == 16 ? load(p) : load(p, count);
}
template <typename T>
THERMOCLINE_INLINE void store_lanes(T* p, F32x16 value, int count) {
  if (count == 16) store(p, value);
  else store(p, value, count);
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
