// The last step: one candidate at random.
#pragma once
#include "candidate_list.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// MurmurHash3's 32-bit finalizer.
inline uint32_t mix(uint32_t hash) {
  hash = (hash ^ (hash >> 16)) * 0x85ebca6bu;
  hash = (hash ^ (hash >> 13)) * 0xc2b2ae35u;
  return hash ^ (hash >> 16);
}

// Streams of uniformOf.
constexpr uint32_t token_stream = 0;
constexpr uint32_t xtc_stream = 1;

// uniformOf of @thermocline/spec: 24 bits in [0, 1).
inline double uniform_of(uint32_t seed, uint32_t draw, uint32_t stream) {
  return static_cast<double>(mix(mix(seed + (stream + 1) * 0x9e3779b9u) ^ draw) >> 8) / 0x1000000;
}

struct Drawn {
  int32_t token_id;
  double share;  // its probability among the candidates
};

// The first candidate whose running sum of weights exceeds `uniform` of the whole.
inline Drawn draw(const CandidateList& list, double temperature, double uniform) {
  const double total = list.total_weight(temperature);
  double sum = 0;
  int64_t place = 0;
  for (; place < list.count - 1; place++) {
    sum += list.weight(place, temperature);
    if (sum > uniform * total) break;
  }
  return {id_of(list.candidates[place]), list.weight(place, temperature) / total};
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
