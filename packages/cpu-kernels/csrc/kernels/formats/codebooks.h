// The codebooks of the iq types as tables of bytes, and the masks of their signs. Data only: the same for every instruction set.
#pragma once
#include <cstdint>

namespace thermocline {

template <typename Word, int size>
struct WordTable { Word words[size]; };

// A point of 8 elements, the first in the lowest byte; an element is codebook_zero_point + its value.
extern const WordTable<uint64_t, 256> iq2_xxs_codebook;
extern const WordTable<uint64_t, 512> iq2_xs_codebook;
extern const WordTable<uint64_t, 1024> iq2_s_codebook;
// Points of 4 elements.
extern const WordTable<uint32_t, 256> iq3_xxs_codebook;
extern const WordTable<uint32_t, 512> iq3_s_codebook;
// Points of 8 elements; an element is iq1_zero_point + 8 times its value, which is -1, 0 or 1.
extern const WordTable<uint64_t, 2048> iq1_codebook;

// What stands for zero in the codes of iq2 and iq3, and in those of iq1.
static constexpr int32_t codebook_zero_point = 64;
static constexpr int32_t iq1_zero_point = 16;

// Byte i is 0xff where bit i is set.
extern const WordTable<uint64_t, 256> sign_masks;
// The same for 7 stored bits: the eighth makes the number of set bits even.
extern const WordTable<uint64_t, 128> even_sign_masks;

}  // namespace thermocline
