// How the rows of a batch are shared out to tasks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "gemm.h"

namespace bilm {

// The rows first ... first + count - 1 of one direction.
struct RowBlock {
  int64_t direction, first, count;
};

// One block for each thread, if their rows can be multiples of 8: rows in such blocks come out
// the same to the bit wherever they stand.
inline std::vector<RowBlock> row_blocks(int64_t directions, int64_t batch) {
  const int64_t per_direction = std::max<int64_t>(1, num_threads() / directions);
  const int64_t eighths = (batch + 7) / 8;
  const int64_t size = (eighths + per_direction - 1) / per_direction * 8;
  std::vector<RowBlock> blocks;
  for (int64_t direction = 0; direction < directions; ++direction) {
    for (int64_t first = 0; first < batch; first += size) {
      blocks.push_back({direction, first, std::min(size, batch - first)});
    }
  }
  return blocks;
}

}  // namespace bilm
