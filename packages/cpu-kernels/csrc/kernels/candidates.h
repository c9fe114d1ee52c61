// The order of a choice, logit descending, then id ascending, and what choices of tokens and of experts share. Candidate tokens are 64-bit
// keys that ascend in this order.
#pragma once
#include "half.h"
#include "operands.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

inline bool is_nan(float value) { return (bits_of(value) & 0x7fffffffu) > 0x7f800000u; }
inline bool is_infinite(float value) { return (bits_of(value) & 0x7fffffffu) == 0x7f800000u; }

// The upper half orders logits: for positive floats the bit pattern ascends with the value, for negative ones it descends. Adding 0 makes
// -0 and 0 equal. Not for NaN.
inline uint64_t candidate_of(float logit, uint32_t id) {
  const uint32_t bits = bits_of(logit + 0.0f);
  const uint32_t ascending = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return static_cast<uint64_t>(~ascending) << 32 | id;
}

inline int32_t id_of(uint64_t candidate) { return static_cast<int32_t>(candidate & 0xffffffffu); }

inline float logit_of(uint64_t candidate) {
  const uint32_t ascending = ~static_cast<uint32_t>(candidate >> 32);
  return float_of((ascending & 0x80000000u) != 0 ? ascending & 0x7fffffffu : ~ascending);
}

// Restores a heap with its largest candidate on top, below `parent`.
inline void sift_down(uint64_t* heap, int64_t n, int64_t parent) {
  const uint64_t moving = heap[parent];
  for (int64_t child = 2 * parent + 1; child < n; child = 2 * parent + 1) {
    if (child + 1 < n && heap[child + 1] > heap[child]) child++;
    if (heap[child] <= moving) break;
    heap[parent] = heap[child];
    parent = child;
  }
  heap[parent] = moving;
}

inline void make_heap(uint64_t* heap, int64_t n) {
  for (int64_t parent = n / 2 - 1; parent >= 0; parent--) sift_down(heap, n, parent);
}

inline void sort_heap(uint64_t* heap, int64_t n) {
  for (int64_t last = n - 1; last > 0; last--) {
    const uint64_t largest = heap[0];
    heap[0] = heap[last];
    heap[last] = largest;
    sift_down(heap, last, 0);
  }
}

// The k smallest of n candidates, sorted, to the front; the others are lost. For k well below n: a candidate that does not make it costs
// one comparison.
inline void select_best(uint64_t* candidates, int64_t n, int64_t k) {
  make_heap(candidates, k);
  for (int64_t i = k; i < n; i++) {
    if (candidates[i] >= candidates[0]) continue;
    candidates[0] = candidates[i];
    sift_down(candidates, k, 0);
  }
  sort_heap(candidates, k);
}

inline void insertion_sort(uint64_t* candidates, int64_t n) {
  for (int64_t i = 1; i < n; i++) {
    const uint64_t moving = candidates[i];
    int64_t j = i;
    for (; j > 0 && candidates[j - 1] > moving; j--) candidates[j] = candidates[j - 1];
    candidates[j] = moving;
  }
}

// In-place radix sort by the byte at `shift` and those below it (McIlroy, Bostic, McIlroy 1993, "American flag sort"). The four bytes of
// the logit are taken by radix, so that at most 4 frames of 2 KiB lie on the stack; ties beyond them are sorted by id as a heap.
inline void sort_candidates(uint64_t* candidates, int64_t n, int shift = 56) {
  if (n <= 48) return insertion_sort(candidates, n);
  if (shift < 32) {
    make_heap(candidates, n);
    return sort_heap(candidates, n);
  }
  uint32_t next[256];  // where the next candidate of each bucket goes
  uint32_t ends[256] = {};
  for (int64_t i = 0; i < n; i++) ends[candidates[i] >> shift & 255]++;
  uint32_t start = 0;
  for (int bucket = 0; bucket < 256; bucket++) {
    next[bucket] = start;
    start += ends[bucket];
    ends[bucket] = start;
  }
  for (int bucket = 0; bucket < 256; bucket++) {
    while (next[bucket] < ends[bucket]) {
      uint64_t moving = candidates[next[bucket]];
      for (uint32_t home = moving >> shift & 255; home != static_cast<uint32_t>(bucket); home = moving >> shift & 255) {
        const uint64_t displaced = candidates[next[home]];
        candidates[next[home]++] = moving;
        moving = displaced;
      }
      candidates[next[bucket]++] = moving;
    }
  }
  start = 0;
  for (int bucket = 0; bucket < 256; bucket++) {
    if (ends[bucket] - start > 1) sort_candidates(candidates + start, ends[bucket] - start, shift - 8);
    start = ends[bucket];
  }
}

// Keeps the `count` largest logits met so far, sorted, in the output row itself. Ids come ascending, so a tie goes behind its equals.
inline void insert_logit(int32_t* ids, float* values, int64_t count, int32_t id, float logit) {
  if (count == 0 || (ids[count - 1] >= 0 && !(logit > values[count - 1]))) return;
  int64_t place = count - 1;
  for (; place > 0 && (ids[place - 1] < 0 || logit > values[place - 1]); place--) {
    ids[place] = ids[place - 1];
    values[place] = values[place - 1];
  }
  ids[place] = id;
  values[place] = logit;
}

// Distance to the largest logit; 0 also where both are the same infinity.
inline double below_best(float logit, float best) {
  return logit == best ? 0.0 : static_cast<double>(logit) - static_cast<double>(best);
}

// The lowest row in which a thread found a NaN; threads race for it, so it is written atomically.
struct NanRow {
  int64_t row = INT64_MAX;

  void report(int64_t found) {
    int64_t lowest = __atomic_load_n(&row, __ATOMIC_RELAXED);
    while (found < lowest && !__atomic_compare_exchange_n(&row, &lowest, found, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
  }
  Status status(int64_t num_rows) const {
    if (row == INT64_MAX) return {};
    return {"logits hold NaN in a row", row, num_rows};
  }
};

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
