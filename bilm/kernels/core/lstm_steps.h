// What the forward and the backward pass of the projected LSTM have in common.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "projected_lstm.h"

namespace bilm {

inline float limit_of(float clip) {
  return clip > 0.0f ? clip : std::numeric_limits<float>::infinity();
}

inline bool is_running(const LSTMShape& shape, int64_t row, int64_t step) {
  return shape.lengths == nullptr || step < shape.lengths[row];
}

// Where the inputs and outputs of a direction's step stand, in units of their features.
inline int64_t place_of(const LSTMShape& shape, int64_t direction, int64_t row, int64_t step) {
  if (!shape.in_text_order) return (direction * shape.batch + row) * shape.steps + step;
  if (direction == 1 && is_running(shape, row, step)) {
    step = (shape.lengths == nullptr ? shape.steps : shape.lengths[row]) - 1 - step;
  }
  return (row * shape.steps + step) * shape.directions + direction;
}

// The steps of the longest of some rows.
inline int64_t longest(const LSTMShape& shape, int64_t first, int64_t count) {
  if (shape.lengths == nullptr) return shape.steps;
  const int64_t* lengths = shape.lengths + first;
  return count == 0 ? 0 : *std::max_element(lengths, lengths + count);
}

// Steps of each of the fewest parts of equal size, the last perhaps shorter, that have at most
// wanted_rows / rows steps, or one.
inline int64_t steps_at_once(int64_t steps, int64_t rows, int64_t wanted_rows) {
  const int64_t most = std::max<int64_t>(1, wanted_rows / rows);
  const int64_t parts = (steps + most - 1) / most;
  return parts == 0 ? 1 : (steps + parts - 1) / parts;
}

inline void copy(const float* from, int64_t count, float* to) { std::copy(from, from + count, to); }

}  // namespace bilm
