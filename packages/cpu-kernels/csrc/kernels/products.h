// The work that matmul and expert_matmul share: rows of activations times packed matrices, tiled and spread over threads.
#pragma once
#include "vector_math.h"

namespace thermocline::THERMOCLINE_ISA {
namespace {

// A packed matrix and the positions [first, first + count) that it is multiplied with.
struct Product {
  const std::byte* weight;
  int64_t first;
  int64_t count;
};

// Activations and outputs by position. A row is (token, rank): ranks_per_token is 1 for a matmul, the experts of a token for expert_matmul.
struct RowMap {
  const float* x;
  int64_t x_stride;  // elements from one token to the next
  int64_t x_step;    // from one rank to the next; 0 where a token's ranks share one row
  float* out;
  int64_t out_stride;
  int64_t out_step;
  int64_t ranks_per_token;
  const int32_t* rows;  // of each position, token · ranks_per_token + rank; nullptr: position p is row p, of a matmul

  THERMOCLINE_INLINE const float* x_row(int64_t position) const {
    if (rows == nullptr) return x + position * x_stride;
    return x + rows[position] / ranks_per_token * x_stride + rows[position] % ranks_per_token * x_step;
  }
  THERMOCLINE_INLINE float* out_row(int64_t position) const {
    if (rows == nullptr) return out + position * out_stride;
    return out + rows[position] / ranks_per_token * out_stride + rows[position] % ranks_per_token * out_step;
  }
};

// Products with matrices of one shape and dtype. Their positions follow one another, from 0.
struct ProductList {
  const Product* products;
  int64_t num_products;
  DType dtype;
  int64_t num_rows;  // of a matrix
  int64_t columns;
  const float* bias;  // [num_rows]; nullptr: none
  RowMap rows;

  int64_t num_positions() const { return num_products == 0 ? 0 : products[num_products - 1].first + products[num_products - 1].count; }
  int64_t num_groups() const { return (num_rows + rows_per_group - 1) / rows_per_group; }
  int64_t group_bytes() const { return packed_group_bytes(dtype, columns); }

  // Adds the bias to the sums of a group's 16 rows and stores the rows that exist.
  THERMOCLINE_INLINE void store_sums(F32x16 sums, int64_t group, int64_t position) const {
    const int64_t row = group * rows_per_group;
    const int count = static_cast<int>(minimum(rows_per_group, num_rows - row));
    if (bias != nullptr) sums = add(sums, load_lanes(bias + row, count));
    store_lanes(rows.out_row(position) + row, sums, count);
  }
};

// Positions of the tile that starts with `remaining` positions to go: the widest power of two.
inline int64_t tile_width(int64_t remaining, int64_t widest) {
  while (widest > remaining) widest /= 2;
  return widest;
}

// body(product, first_group, last_group) over all groups of all products, on all threads, in pieces whose weights stay in the second-level
// cache while a product's positions pass by.
template <typename Body>
inline void for_each_range_of_groups(const ProductList& list, const Parallel& parallel, const Body& body) {
  constexpr int64_t cache_bytes = 256 * 1024;
  const int64_t num_groups = list.num_groups();
  bool single = true;
  for (int64_t p = 0; p < list.num_products; p++) single = single && list.products[p].count <= 1;
  // A single position reads each weight once: its pieces are limited only by the balance between threads.
  const int64_t largest = single ? 32 : maximum(1, cache_bytes / maximum(1, list.group_bytes()));
  const int64_t num_items = list.num_products * num_groups;
  const int64_t grain = clamp(num_items / (4 * maximum(1, parallel.threads)), 1, largest);
  parallel_for(parallel, num_items, grain, [&](int64_t first, int64_t last, int) {
    while (first < last) {
      const int64_t product = first / num_groups;
      const int64_t group = first % num_groups;
      const int64_t count = minimum(minimum(last - first, largest), num_groups - group);
      body(list.products[product], group, group + count);
      first += count;
    }
  });
}

// multiply.tile<T>(product, group, position) for each tile of positions, and within it for each group.
template <int widest, typename Multiply>
inline void for_each_tile(const ProductList& list, const Parallel& parallel, const Multiply& multiply) {
  for_each_range_of_groups(list, parallel, [&](const Product& product, int64_t first_group, int64_t last_group) {
    const int64_t end = product.first + product.count;
    for (int64_t position = product.first; position < end;) {
      const int64_t width = tile_width(end - position, widest);
      for (int64_t group = first_group; group < last_group; group++) {
        if (width == 1) multiply.template tile<1>(product, group, position);
        else if (width == 2) multiply.template tile<2>(product, group, position);
        else if constexpr (widest >= 4) {
          if (width == 4) multiply.template tile<4>(product, group, position);
          else if constexpr (widest >= 8) multiply.template tile<8>(product, group, position);
        }
      }
      position += width;
    }
  });
}

}  // namespace
}  // namespace thermocline::THERMOCLINE_ISA
