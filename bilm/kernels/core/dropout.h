// Dropout from a random number for each place, without a mask in memory.
#pragma once

#include <cstdint>

namespace bilm {

// to[j] = from[j] / (1 - rate) with probability 1 - rate, otherwise 0. The same seed drops the
// same places, so the gradient is the same function of the upstream gradient.
void dropout(int64_t count, const float* from, float rate, uint64_t seed, float* to);

}  // namespace bilm
