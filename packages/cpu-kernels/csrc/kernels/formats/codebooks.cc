// Codebooks and sign masks, computed at compile time.
#include "codebooks.h"

#include "codebook_points_iq1.h"
#include "codebook_points_iq2.h"
#include "codebook_points_iq3.h"

namespace thermocline {
namespace {

// The points of a codebook as words of bytes, zero_point + values[index]; a point's 16 bits hold an index for each byte.
template <typename Word, int size, int num_values>
constexpr WordTable<Word, size> expand(const uint16_t (&points)[size], const int32_t (&values)[num_values], int32_t zero_point) {
  constexpr int count = static_cast<int>(sizeof(Word));
  constexpr int bits = 16 / count;
  WordTable<Word, size> table{};
  for (int i = 0; i < size; i++) {
    for (int j = 0; j < count; j++) {
      const int index = points[i] >> (j * bits) & ((1 << bits) - 1);
      table.words[i] |= static_cast<Word>(zero_point + values[index]) << (8 * j);
    }
  }
  return table;
}

constexpr int32_t iq1_values[] = {-8, 0, 8};
constexpr int32_t iq2_values[] = {8, 25, 43};
constexpr int32_t iq3_xxs_values[] = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr int32_t iq3_s_values[] = {1, 3, 5, 7, 9, 11, 13, 15};

constexpr uint32_t parity_of(uint32_t bits) {
  uint32_t parity = 0;
  for (int i = 0; i < 8; i++) parity ^= bits >> i & 1;
  return parity;
}

// `stored_bits` of 8 sign bits are stored.
template <int size>
constexpr WordTable<uint64_t, size> make_sign_masks(int stored_bits) {
  WordTable<uint64_t, size> masks{};
  for (uint32_t stored = 0; stored < size; stored++) {
    const uint32_t bits = stored_bits == 8 ? stored : stored | parity_of(stored) << 7;
    for (int i = 0; i < 8; i++) masks.words[stored] |= (bits >> i & 1) != 0 ? uint64_t{0xff} << (8 * i) : 0;
  }
  return masks;
}

}  // namespace

constexpr WordTable<uint64_t, 2048> iq1_codebook = expand<uint64_t>(iq1_s_points, iq1_values, iq1_zero_point);
constexpr WordTable<uint64_t, 256> iq2_xxs_codebook = expand<uint64_t>(iq2_xxs_points, iq2_values, codebook_zero_point);
constexpr WordTable<uint64_t, 512> iq2_xs_codebook = expand<uint64_t>(iq2_xs_points, iq2_values, codebook_zero_point);
constexpr WordTable<uint64_t, 1024> iq2_s_codebook = expand<uint64_t>(iq2_s_points, iq2_values, codebook_zero_point);
constexpr WordTable<uint32_t, 256> iq3_xxs_codebook = expand<uint32_t>(iq3_xxs_points, iq3_xxs_values, codebook_zero_point);
constexpr WordTable<uint32_t, 512> iq3_s_codebook = expand<uint32_t>(iq3_s_points, iq3_s_values, codebook_zero_point);
constexpr WordTable<uint64_t, 256> sign_masks = make_sign_masks<256>(8);
constexpr WordTable<uint64_t, 128> even_sign_masks = make_sign_masks<128>(7);

}  // namespace thermocline
