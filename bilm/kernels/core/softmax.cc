#include "softmax.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "gemm.h"
#include "memory.h"
#include "nonlinear.h"
#include "parallel.h"

namespace bilm {
namespace {

constexpr int64_t kTileClasses = 1024;
constexpr int64_t kTileTokens = 256;  // so that a tile stays in the cache of a core

// A range of classes, which one task takes through all tokens of a pass.
struct Slice {
  int64_t first, count;
};

// Adds the bias to a row of logits, and returns the largest.
float add_bias(int64_t count, const float* bias, float* logits) {
  float best = -INFINITY;
#pragma omp simd reduction(max : best)
  for (int64_t j = 0; j < count; ++j) {
    logits[j] += bias[j];
    best = logits[j] > best ? logits[j] : best;
  }
  return best;
}

// Turns logits into exp(logit - reference), and returns their sum.
float exponentials(int64_t count, float reference, float* logits) {
  float total = 0.0f;
#pragma omp simd reduction(+ : total)
  for (int64_t j = 0; j < count; ++j) {
    logits[j] = fast_exp(logits[j] - reference);
    total += logits[j];
  }
  return total;
}

// Gradients nearer to 0 than this become 0: products with numbers below float's normal range take
// many times as long, and a peaked softmax has almost nothing else.
constexpr float kTiniest = 1e-30f;

// Scales a row of exponentials to a row of the logits' gradient, which it adds to the bias's.
void scale_row(int64_t count, float factor, float* values, float* totals) {
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) {
    const float value = values[j] * factor;
    const float size = value < 0.0f ? -value : value;
    values[j] = size < kTiniest ? 0.0f : value;
    totals[j] += values[j];
  }
}

// One pass over some tokens: `first` to `first + tokens - 1` of the input.
class Pass {
 public:
  Pass(const SoftmaxInput& input, const float* token_weights, int64_t first, int64_t tokens,
       bool is_first, const SoftmaxGradients& gradients)
      : input_(input), weights_(token_weights), first_(first), tokens_(tokens),
        is_first_(is_first), gradients_(gradients),
        slices_((input.classes + kTileClasses - 1) / kTileClasses),
        lanes_(std::min<int64_t>(slices_, num_threads())),
        maxima_(slices_ * tokens), sums_(slices_ * tokens), target_logits_(tokens),
        logits_(token_weights ? tokens * input.classes : lanes_ * kTileTokens * kTileClasses),
        hidden_gradients_(token_weights ? lanes_ * tokens * input.features : 1) {}

  void run(float* nats) {
    parallel(lanes_, [this](int lane) {
      for (int64_t slice = lane; slice < slices_; slice += lanes_) exponentiate(slice, lane);
    });
    normalise(nats);
    if (weights_ == nullptr) return;
    // the right factor of all slices
    const int64_t P = input_.features;
    const RightFactor hidden(false, std::min(kTileClasses, input_.classes), P, tokens_,
                             input_.hidden + first_ * P, P);
    parallel(lanes_, [&](int lane) {
      float* sum = hidden_gradients_ + lane * tokens_ * input_.features;
      for (int64_t slice = lane; slice < slices_; slice += lanes_) {
        differentiate(slice, hidden, slice == lane ? 0.0f : 1.0f, sum);
      }
    });
    float* total = gradients_.hidden + first_ * input_.features;
    std::copy_n(hidden_gradients_.data(), tokens_ * input_.features, total);
    for (int64_t lane = 1; lane < lanes_; ++lane) {
      const float* more = hidden_gradients_ + lane * tokens_ * input_.features;
      for (int64_t j = 0; j < tokens_ * input_.features; ++j) total[j] += more[j];
    }
  }

 private:
  Slice slice_of(int64_t number) const {
    const int64_t first = number * kTileClasses;
    return {first, std::min(kTileClasses, input_.classes - first)};
  }

  // Logits of a slice: (tokens, count) where all are kept, otherwise the lane's tile.
  float* logits_of(int64_t number, int64_t lane) {
    return weights_ ? logits_ + slice_of(number).first * tokens_
                    : logits_ + lane * kTileTokens * kTileClasses;
  }

  void exponentiate(int64_t number, int64_t lane) {
    const Slice slice = slice_of(number);
    const int64_t P = input_.features;
    const RightFactor weight(true, std::min(kTileTokens, tokens_), slice.count, P,
                             input_.weight + slice.first * P, P);
    for (int64_t start = 0; start < tokens_; start += kTileTokens) {
      const int64_t count = std::min(kTileTokens, tokens_ - start);
      float* tile = logits_of(number, lane) + (weights_ ? start * slice.count : 0);
      weight.multiply(count, input_.hidden + (first_ + start) * P, P, 0.0f, tile, slice.count);
      for (int64_t row = 0; row < count; ++row) {
        const int64_t token = start + row;
        float* logits = tile + row * slice.count;
        const float best = add_bias(slice.count, input_.bias + slice.first, logits);
        const int64_t target = input_.targets[first_ + token] - slice.first;
        if (target >= 0 && target < slice.count) target_logits_[token] = logits[target];
        maxima_[number * tokens_ + token] = best;
        sums_[number * tokens_ + token] = exponentials(slice.count, best, logits);
      }
    }
  }

  // From the slices' maxima and sums: nats, and in place of the maxima the factors that turn
  // exponentials into gradients of logits.
  void normalise(float* nats) {
    for (int64_t token = 0; token < tokens_; ++token) {
      const bool is_extra = input_.targets[first_ + token] < 0;
      if (is_extra) target_logits_[token] = input_.extra[first_ + token];
      const float target = target_logits_[token];
      float best = is_extra ? target : maxima_[token];
      for (int64_t slice = 0; slice < slices_; ++slice) {
        best = std::max(best, maxima_[slice * tokens_ + token]);
      }
      double total = is_extra ? std::exp(target - best) : 0.0;
      for (int64_t slice = 0; slice < slices_; ++slice) {
        const int64_t place = slice * tokens_ + token;
        total += sums_[place] * std::exp(static_cast<double>(maxima_[place] - best));
      }
      nats[first_ + token] = static_cast<float>(std::log(total) + (best - target));
      if (weights_ == nullptr) continue;
      const double scale = weights_[first_ + token] / total;
      for (int64_t slice = 0; slice < slices_; ++slice) {
        float* place = maxima_ + slice * tokens_ + token;
        *place = static_cast<float>(scale * std::exp(static_cast<double>(*place - best)));
      }
      if (gradients_.extra == nullptr) continue;
      gradients_.extra[first_ + token] =
          is_extra ? static_cast<float>(scale * std::exp(target - best)) - weights_[first_ + token]
                   : 0.0f;
    }
  }

  void differentiate(int64_t number, const RightFactor& hidden, float beta,
                     float* hidden_gradient) {
    const Slice slice = slice_of(number);
    const int64_t P = input_.features;
    float* bias = gradients_.bias + slice.first;
    if (is_first_) std::fill_n(bias, slice.count, 0.0f);
    const RightFactor weight(false, std::min(kTileTokens, tokens_), P, slice.count,
                             input_.weight + slice.first * P, P);
    float* logits = logits_of(number, 0);
    for (int64_t start = 0; start < tokens_; start += kTileTokens) {
      const int64_t count = std::min(kTileTokens, tokens_ - start);
      float* tile = logits + start * slice.count;
      for (int64_t row = 0; row < count; ++row) {
        const int64_t token = start + row;
        scale_row(slice.count, maxima_[number * tokens_ + token], tile + row * slice.count, bias);
        const int64_t target = input_.targets[first_ + token] - slice.first;
        if (target < 0 || target >= slice.count) continue;
        tile[row * slice.count + target] -= weights_[first_ + token];
        bias[target] -= weights_[first_ + token];
      }
      weight.multiply(count, tile, slice.count, beta, hidden_gradient + start * P, P);
    }
    hidden.multiply(slice.count, logits, slice.count, is_first_ ? 0.0f : 1.0f,
                    gradients_.weight + slice.first * P, P, true);
  }

  const SoftmaxInput& input_;
  const float* weights_;
  const int64_t first_, tokens_;
  const bool is_first_;
  const SoftmaxGradients& gradients_;
  const int64_t slices_, lanes_;  // a lane takes every lanes_-th slice: sums have a fixed order
  Buffer maxima_, sums_, target_logits_, logits_, hidden_gradients_;
};

}  // namespace

void softmax_cross_entropy(const SoftmaxInput& input, const float* token_weights,
                           int64_t max_logits, float* nats, const SoftmaxGradients& gradients) {
  if (input.tokens == 0 && gradients.weight != nullptr) {
    std::fill_n(gradients.weight, input.classes * input.features, 0.0f);
    std::fill_n(gradients.bias, input.classes, 0.0f);
  }
  const int64_t most = std::max<int64_t>(1, max_logits / input.classes);
  const int64_t passes = (input.tokens + most - 1) / most;
  const int64_t tokens = (input.tokens + passes - 1) / std::max<int64_t>(1, passes);
  for (int64_t first = 0; first < input.tokens; first += tokens) {
    const int64_t count = std::min(tokens, input.tokens - first);
    Pass(input, token_weights, first, count, first == 0, gradients).run(nats);
  }
}

}  // namespace bilm
