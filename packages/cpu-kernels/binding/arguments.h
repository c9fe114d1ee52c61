// Reading what JavaScript passes. The caller is src/, which checks operands; here only what memory safety needs is checked again, and what
// fails is a Napi::Error.
#pragma once
#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "thermocline/weight_store.h"

namespace thermocline {

void require(const Napi::Env& env, bool condition, const std::string& problem);

// A non-negative integer that a double holds exactly.
uint64_t size_of(const Napi::Value& value);

std::byte* bytes_of(const Napi::TypedArray& view);

// The numbers that src/weight-slices.ts packs: type, layout, elements and bytes of a block, file rows, columns, number of row ranges,
// then the row ranges and the column ranges, each a first and a count.
WeightSlices slices_of(const Napi::Float64Array& numbers, int64_t& file_rows);

}  // namespace thermocline
