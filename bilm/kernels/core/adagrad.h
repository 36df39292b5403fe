// Adagrad, and the norm by which gradients are clipped, in place and without copies.
#pragma once

#include <cstdint>

namespace bilm {

// Returns the sum of squares.
double sum_of_squares(const float* values, int64_t count);

// With g = scale * gradient:  moment += g^2;  parameter -= rate * g / (sqrt(moment) + epsilon)
void adagrad(int64_t count, const float* gradient, float scale, float rate, float epsilon,
             float* parameter, float* moment);

}  // namespace bilm
