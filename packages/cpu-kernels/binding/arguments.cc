#include "arguments.h"

#include <cmath>

namespace thermocline {

void require(const Napi::Env& env, bool condition, const std::string& problem) {
  if (!condition) throw Napi::Error::New(env, problem);
}

uint64_t size_of(const Napi::Value& value) {
  const double number = value.As<Napi::Number>().DoubleValue();
  require(value.Env(), number >= 0 && number <= 9007199254740992.0 && number == std::floor(number), "a size is no non-negative integer");
  return static_cast<uint64_t>(number);
}

std::byte* bytes_of(const Napi::TypedArray& view) {
  return reinterpret_cast<std::byte*>(view.As<Napi::Uint8Array>().Data());
}

WeightSlices slices_of(const Napi::Float64Array& numbers, int64_t& file_rows) {
  constexpr size_t header_numbers = 8;
  const Napi::Env env = numbers.Env();
  require(env, numbers.ElementLength() >= header_numbers, "slices are cut off");
  for (size_t i = 0; i < numbers.ElementLength(); i++)
    require(env, numbers[i] >= 0 && numbers[i] <= 9007199254740992.0, "slices hold an impossible number");
  WeightSlices slices;
  slices.dtype = static_cast<DType>(static_cast<uint32_t>(numbers[0]));
  slices.layout = static_cast<Layout>(static_cast<uint32_t>(numbers[1]));
  slices.block_elements = static_cast<uint32_t>(numbers[2]);
  slices.block_bytes = static_cast<uint32_t>(numbers[3]);
  file_rows = static_cast<int64_t>(numbers[4]);
  slices.columns = static_cast<int64_t>(numbers[5]);
  slices.matrix_rows = static_cast<int64_t>(numbers[6]);
  const double row_numbers = numbers[7] * 2;
  require(env, row_numbers <= static_cast<double>(numbers.ElementLength() - header_numbers), "slices are cut off");
  const double* ranges = numbers.Data() + header_numbers;
  const size_t num_row_numbers = static_cast<size_t>(row_numbers);
  slices.row_ranges.assign(ranges, ranges + num_row_numbers);
  slices.column_ranges.assign(ranges + num_row_numbers, numbers.Data() + numbers.ElementLength());
  if (const char* problem = slices.problem(file_rows)) throw Napi::Error::New(env, problem);
  return slices;
}

}  // namespace thermocline
