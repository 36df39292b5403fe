#include "dropout.h"

#include <algorithm>

#include "parallel.h"

namespace bilm {
namespace {

constexpr int64_t kPart = int64_t{1} << 16;

// A bijection of 32-bit numbers that leaves no trace of their order: the finaliser of MurmurHash3
// (Austin Appleby, in the public domain).
inline uint32_t scramble(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}

void drop_part(int64_t count, const float* from, uint32_t threshold, float scale, uint32_t key,
               uint32_t first, float* to) {
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) {
    const uint32_t random = scramble(scramble(first + static_cast<uint32_t>(j)) ^ key);
    to[j] = random < threshold ? 0.0f : from[j] * scale;
  }
}

}  // namespace

void dropout(int64_t count, const float* from, float rate, uint64_t seed, float* to) {
  const uint32_t threshold = static_cast<uint32_t>(static_cast<double>(rate) * 4294967296.0);
  parallel(static_cast<int>((count + kPart - 1) / kPart), [&](int part) {
    const int64_t first = part * kPart;
    // what does not fit into 32 bits of seed and place goes into the key
    const uint32_t key = scramble(scramble(static_cast<uint32_t>(seed)) +
                                  static_cast<uint32_t>(seed >> 32) +
                                  static_cast<uint32_t>(first >> 32));
    drop_part(std::min(kPart, count - first), from + first, threshold, 1.0f / (1.0f - rate), key,
              static_cast<uint32_t>(first), to + first);
  });
}

}  // namespace bilm
