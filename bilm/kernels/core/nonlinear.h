// exp, tanh and the sigmoid without branches, so that a compiler turns loops of them into vector
// instructions. Errors are a few units in the last place; NaN stays NaN.
#pragma once

#include <cstdint>
#include <cstring>

namespace bilm {

// x = exponent * ln 2 + rest, |rest| <= ln(2) / 2; gives 2^exponent and exp(rest) - 1
struct ExpParts {
  float scale, rest_minus_one;
};

inline ExpParts split_exp(float x) {  // -87 <= x <= 88
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: added to x, it rounds to whole numbers
  const float rounded = x * 1.44269504f + kRounder;
  const float exponent = rounded - kRounder;
  float rest = x - exponent * 0.693359375f;  // ln 2 in two parts, the first with few bits
  rest = rest - exponent * -2.12194440e-4f;
  // the Taylor series to x^7, whose remainder is below 6e-9
  float sum = 1.0f / 5040;
  sum = sum * rest + 1.0f / 720;
  sum = sum * rest + 1.0f / 120;
  sum = sum * rest + 1.0f / 24;
  sum = sum * rest + 1.0f / 6;
  sum = sum * rest + 0.5f;
  sum = sum * rest * rest + rest;
  uint32_t bits;
  std::memcpy(&bits, &rounded, 4);
  bits = (bits << 23) + (uint32_t{127} << 23);  // unsigned, as NaN may hold any bits
  float scale;
  std::memcpy(&scale, &bits, 4);
  return {scale, sum};
}

inline float clamp(float x, float low, float high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}

inline float fast_exp(float x) {
  const ExpParts parts = split_exp(clamp(x, -87.0f, 88.0f));
  return parts.scale + parts.scale * parts.rest_minus_one;
}

inline float fast_sigmoid(float x) { return 1.0f / (1.0f + fast_exp(-x)); }

inline float fast_tanh(float x) {
  // tanh|x| = -m / (2 + m) with m = exp(-2|x|) - 1, which is exact to the last places near 0
  const float size = x < 0.0f ? -x : x;
  const ExpParts parts = split_exp(clamp(-2.0f * size, -40.0f, 0.0f));
  const float minus_one = parts.scale * parts.rest_minus_one + (parts.scale - 1.0f);
  const float result = minus_one / (2.0f + minus_one);
  return x < 0.0f ? result : -result;
}

}  // namespace bilm
