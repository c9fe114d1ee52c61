// IEEE binary16 in plain C++, bit for bit what F16C does: round to nearest even, NaN made quiet with its leading payload bits kept.
// Everything is `static`: each instruction set gets its own copy.
#pragma once
#include <stdint.h>
#include <string.h>

namespace thermocline {

static inline uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// Without a branch, so that loops over it can be vectorised. A half's bits read as a float's, 13 places up, are the value times 2^-112,
// subnormals included; infinity and NaN come out with exponent 143 and get the float's own.
static inline float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7fffu;
  const uint32_t special = (magnitude >= 0x7c00u ? 0x7f800000u : 0u) | (magnitude > 0x7c00u ? 0x400000u : 0u);
  return float_of(bits_of(float_of(magnitude << 13) * 0x1p112f) | special | sign);
}

static inline uint16_t float_to_half(float value) {
  const uint32_t bits = bits_of(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
  } else if (magnitude >= 0x477ff000u) {  // 65520, half way from the largest half to 65536
    half = 0x7c00u;
  } else if (magnitude < 0x38800000u) {   // below 2^-14: 0.5 has an ulp of 2^-24, so the addition rounds to a subnormal's unit
    half = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    half = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
  }
  return static_cast<uint16_t>(sign | half);
}

}  // namespace thermocline
