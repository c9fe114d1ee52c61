// Weights read from files: slices, packing, files that are missing, short or shrink.
#include "runtime_check.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <unordered_map>

#include "thermocline/weight_store.h"

namespace thermocline::runtime_check {

void check_weights() {
  const char* directory = std::getenv("TMPDIR");
  std::string path = std::string(directory != nullptr ? directory : "/tmp") + "/thermocline-runtime-check-XXXXXX";
  const int file = mkstemp(path.data());
  expect(file >= 0, "a temporary file");
  constexpr int64_t rows = 3001, columns = 512;
  std::vector<float> values(static_cast<size_t>(rows * columns));
  for (size_t i = 0; i < values.size(); i++) values[i] = static_cast<float>(i);
  const size_t byte_length = values.size() * 4;
  expect(pwrite(file, values.data(), byte_length, 100) == static_cast<ssize_t>(byte_length), "the file is written");

  std::mutex mutex;
  std::condition_variable arrived;
  std::unordered_map<uint64_t, LoadReport> done;
  uint64_t num_bytes = 0;
  const AllocationMeter meter = new_meter();
  {
    WeightStore store({
        .load_done =
            [&](LoadReport&& report) {
              std::lock_guard lock(mutex);
              done.emplace(report.id, report);
              arrived.notify_all();
            },
        .progress =
            [&](uint64_t, uint64_t length) {
              std::lock_guard lock(mutex);
              num_bytes += length;
            },
    });
    uint64_t next_id = 0;
    const auto load = [&](Layout layout, std::vector<int64_t> row_ranges, std::vector<int64_t> column_ranges, std::string from, bool cancelled,
                          std::shared_ptr<Buffer>& buffer) {
      auto request = std::make_shared<LoadRequest>();
      request->id = next_id++;
      request->path = std::move(from);
      request->file_offset = 100;
      request->file_rows = rows;
      request->slices = {DType::f32, layout, 1, 4, columns, std::move(row_ranges), std::move(column_ranges)};
      expect(request->slices.problem(rows) == nullptr, "the slices are whole");
      buffer = Buffer::allocate(request->slices.byte_length(), meter);
      request->buffer = buffer;
      request->cancelled = cancelled;
      const uint64_t id = request->id;
      store.load(std::move(request));
      std::unique_lock lock(mutex);
      arrived.wait(lock, [&] { return done.contains(id); });
      return done.at(id);
    };
    std::shared_ptr<Buffer> buffer;
    expect(load(Layout::plain, {0, rows}, {0, columns}, path, false, buffer).outcome == LoadOutcome::completed, "a whole weight is loaded");
    expect(std::memcmp(buffer->data(), values.data(), byte_length) == 0 && num_bytes == byte_length, "as it lies in the file");
    expect(load(Layout::plain, {5, 2, 3000, 1}, {1, 2, 511, 1}, path, false, buffer).outcome == LoadOutcome::completed, "slices are loaded");
    const float* sliced = reinterpret_cast<const float*>(buffer->data());
    const float wanted[] = {2561, 2562, 3071, 3073, 3074, 3583, 1536001, 1536002, 1536511};
    expect(buffer->byte_length() == sizeof wanted && std::memcmp(sliced, wanted, sizeof wanted) == 0, "row by row");
    expect(load(Layout::packed, {1, 1, 7, 2999 - 7}, {256, 256}, path, false, buffer).outcome == LoadOutcome::completed, "packed slices are loaded");
    const float* packed = reinterpret_cast<const float*>(buffer->data());
    for (const int64_t row : {int64_t{0}, int64_t{1}, int64_t{2048}, int64_t{2992}})
      for (const int64_t column : {int64_t{0}, int64_t{255}}) {
        const int64_t file_row = row == 0 ? 1 : row + 6;
        const float value = packed[(row / 16 * 256 + column) * 16 + row % 16];
        expect(value == static_cast<float>(file_row * columns + 256 + column), "into interleaved groups of rows");
      }
    expect(load(Layout::plain, {0, rows}, {0, columns}, path, true, buffer).outcome == LoadOutcome::cancelled, "a cancelled load ends");
    const LoadReport missing = load(Layout::plain, {0, rows}, {0, columns}, path + "-missing", false, buffer);
    expect(missing.outcome == LoadOutcome::open_failed && missing.error_number == ENOENT, "a missing file is named");
    const LoadReport folder = load(Layout::plain, {0, rows}, {0, columns}, "/", false, buffer);
    expect(folder.outcome == LoadOutcome::open_failed && folder.error_number == 0, "a folder is no weight file");
    expect(ftruncate(file, 5000) == 0, "the file shrinks");
    const LoadReport cut = load(Layout::plain, {0, 1}, {0, columns}, path, false, buffer);
    expect(cut.outcome == LoadOutcome::truncated && cut.file_byte_length == 5000, "a short file is refused");
    // Requests that the destructor finds are reported too.
    expect(pwrite(file, values.data(), byte_length, 100) == static_cast<ssize_t>(byte_length), "the file is written again");
    for (int i = 0; i < 8; i++) {
      auto request = std::make_shared<LoadRequest>();
      request->id = 100 + static_cast<uint64_t>(i);
      request->path = path;
      request->file_offset = 100;
      request->file_rows = rows;
      request->slices = {DType::f32, Layout::plain, 1, 4, columns, {0, rows}, {0, columns}};
      request->buffer = Buffer::allocate(request->slices.byte_length(), meter);
      store.load(std::move(request));
    }
  }
  for (uint64_t id = 100; id < 108; id++) expect(done.contains(id), "every load is reported before the loader ends");
  expect(meter->load() == 0, "loads give their buffers back");
  WeightSlices cut{DType::q8_0, Layout::packed, 32, 34, 64, {0, 1}, {0, 33}};
  expect(cut.problem(1) != nullptr, "a cut block is refused");
  cut.column_ranges = {32, 32, 0, 32};
  expect(cut.problem(1) != nullptr, "ranges out of order are refused");
  cut.column_ranges = {0, 96};
  expect(cut.problem(1) != nullptr, "ranges outside are refused");
  WeightSlices vast{DType::f32, Layout::packed, 1, 4, int64_t{1} << 20, {0, int64_t{1} << 42}, {0, int64_t{1} << 20}};
  expect(vast.problem(int64_t{1} << 42) != nullptr, "a weight whose bytes do not fit a count is refused");
  vast.row_ranges = {0, 1};
  expect(vast.problem(1) == nullptr && vast.byte_length() == size_t{64} << 20, "a long row is not");
  close(file);
  unlink(path.c_str());
  std::puts("weights: slices, packing, files that are missing, short or shrink");
}

}  // namespace thermocline::runtime_check
