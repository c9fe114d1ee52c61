// read_memory: reads memory as fast as the widest loads of the instruction set do, and nothing else; what the bandwidth probe runs.
#pragma once
#include "operands.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// The bits of all 64-byte lines joined, so that no load can be left out.
inline uint32_t read_memory(const std::byte* data, int64_t num_lines) {
  const float* lines = reinterpret_cast<const float*>(data);
  // Four chains, so that no load waits for the one before.
  I32x16 bits[4] = {splat_int(0), splat_int(0), splat_int(0), splat_int(0)};
  int64_t line = 0;
  for (; line + 4 <= num_lines; line += 4, lines += 64) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) bits[i] = bit_or(bits[i], as_int(load(lines + 16 * i)));
  }
  for (; line < num_lines; line++, lines += 16) bits[0] = bit_or(bits[0], as_int(load(lines)));
  return static_cast<uint32_t>(reduce_add(bit_or(bit_or(bits[0], bits[1]), bit_or(bits[2], bits[3]))));
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
