// Puts rows of a weight, as they lie in a model file, into their device layout, and reads them from files on its own thread.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "thermocline/buffer.h"
#include "thermocline/kernel_table.h"

namespace thermocline {

// Bytes of file rows that may lie in staging memory at once. Packing interleaves 16 rows, so these are read together: 16 rows of 4 MiB,
// a million columns in f32, are far beyond any model's matrices, and keep a damaged or hostile header from claiming the host's memory.
inline constexpr size_t max_staging_bytes = size_t{64} << 20;

// Which part of a weight goes where. A vector is one row; a list of matrices is the rows of all of them.
struct WeightSlices {
  DType dtype = DType::f32;
  Layout layout = Layout::plain;
  uint32_t block_elements = 1;
  uint32_t block_bytes = 4;
  int64_t columns = 0;                 // elements of a file row, whole blocks
  std::vector<int64_t> row_ranges;     // first and count of file rows, ascending and disjoint
  std::vector<int64_t> column_ranges;  // first and count of elements, whole blocks, ascending and disjoint
  int64_t matrix_rows = 0;             // selected rows of each matrix, which is packed by itself; 0: one matrix

  size_t row_bytes() const { return static_cast<size_t>(columns / block_elements) * block_bytes; }
  int64_t num_rows() const;
  int64_t num_columns() const;
  // Bytes in the device layout.
  size_t byte_length() const;
  // Rows that are read together at least: a whole group where packing interleaves them.
  int64_t min_piece_rows() const { return layout == Layout::packed ? rows_per_group : 1; }
  // Whether a piece may begin with this selected row: where a group begins.
  bool begins_piece(int64_t row) const;
  // Rows of the longest piece from `first` on that has at most `most` rows, at least min_piece_rows, and ends where a piece may begin.
  int64_t piece_rows(int64_t first, int64_t most) const;
  // Static text where ranges leave the matrix, cut a block, or are out of order, or the rows are too long to stage; nullptr where all is
  // well. File rows: `rows`.
  const char* problem(int64_t rows) const;
};

// Stores rows [first_row, first_row + num_rows), counted over the selected rows, from whole file rows that follow one another. Both ends
// are places where a piece may begin.
void store_rows(const WeightSlices& slices, int64_t first_row, int64_t num_rows, const std::byte* file_rows, std::byte* destination);

enum class LoadOutcome : uint32_t { completed = 0, cancelled = 1, open_failed = 2, read_failed = 3, truncated = 4 };

struct LoadRequest {
  uint64_t id = 0;
  std::string path;
  uint64_t file_offset = 0;  // of the weight's first row
  int64_t file_rows = 0;
  WeightSlices slices;
  std::shared_ptr<Buffer> buffer;  // holds slices.byte_length() bytes from byte_offset on
  size_t byte_offset = 0;
  std::atomic<bool> cancelled{false};
};

struct LoadReport {
  uint64_t id = 0;
  LoadOutcome outcome = LoadOutcome::completed;
  int error_number = 0;          // errno; 0 where the path names no regular file
  uint64_t file_byte_length = 0;  // with truncated: what the file has
};

class WeightStore {
 public:
  // Called on the loading thread.
  struct Events {
    std::function<void(LoadReport&&)> load_done;
    // File bytes read since the last call, for one request; at most about 30 times a second, and before load_done.
    std::function<void(uint64_t id, uint64_t byte_length)> progress;
  };

  explicit WeightStore(Events events) : events_(std::move(events)) {}
  ~WeightStore();
  WeightStore(const WeightStore&) = delete;
  WeightStore& operator=(const WeightStore&) = delete;

  // Requests are served one after the other. The first one starts the thread and throws std::system_error where the system refuses it.
  void load(std::shared_ptr<LoadRequest> request);
  // Cancels everything, reports it, and ends the thread. Nothing may be loaded afterwards.
  void stop_and_join();

 private:
  void loop();
  LoadReport run(LoadRequest& request);
  LoadReport read_pieces(int file, LoadRequest& request);

  Events events_;
  std::mutex mutex_;
  std::condition_variable request_added_;
  std::deque<std::shared_ptr<LoadRequest>> requests_;
  std::shared_ptr<LoadRequest> running_;
  bool stopping_ = false;
  std::shared_ptr<Buffer> staging_;
  std::thread thread_;
};

}  // namespace thermocline
