#include "adagrad.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "parallel.h"

namespace bilm {
namespace {

constexpr int64_t kPart = int64_t{1} << 18;  // values that a task takes, so sums have a fixed order

int64_t parts_of(int64_t count) { return (count + kPart - 1) / kPart; }

double sum_part(const float* values, int64_t count) {
  constexpr int64_t kRun = 4096;  // a float sums so many values without losing much
  double total = 0.0;
  for (int64_t start = 0; start < count; start += kRun) {
    const int64_t end = std::min(start + kRun, count);
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = start; j < end; ++j) sum += values[j] * values[j];
    total += sum;
  }
  return total;
}

void update_part(int64_t count, const float* gradient, float scale, float rate, float epsilon,
                 float* parameter, float* moment) {
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) {
    const float scaled = scale * gradient[j];
    const float sum = moment[j] + scaled * scaled;
    moment[j] = sum;
    parameter[j] -= rate * scaled / (std::sqrt(sum) + epsilon);
  }
}

}  // namespace

double sum_of_squares(const float* values, int64_t count) {
  std::vector<double> sums(parts_of(count));
  parallel(sums.size(), [&](int part) {
    const int64_t first = part * kPart;
    sums[part] = sum_part(values + first, std::min(kPart, count - first));
  });
  double total = 0.0;
  for (double sum : sums) total += sum;
  return total;
}

void adagrad(int64_t count, const float* gradient, float scale, float rate, float epsilon,
             float* parameter, float* moment) {
  parallel(parts_of(count), [&](int part) {
    const int64_t first = part * kPart;
    update_part(std::min(kPart, count - first), gradient + first, scale, rate, epsilon,
                parameter + first, moment + first);
  });
}

}  // namespace bilm
