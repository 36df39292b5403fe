// Runs the native operators' core without Paddle, under sanitizers: every function, odd sizes,
// several threads, and the LSTM's gradients beside differences of its results.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <vector>

#include "core/adagrad.h"
#include "core/dropout.h"
#include "core/nonlinear.h"
#include "core/parallel.h"
#include "core/projected_lstm.h"
#include "core/softmax.h"

namespace {

std::mt19937 random_bits(1);

std::vector<float> numbers(size_t count, float scale = 1.0f) {
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random_bits);
  return values;
}

void expect(bool is_true, const char* what) {
  if (is_true) return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::exit(1);
}

// A problem whose loss is the sum of all outputs and last states, each times a factor.
struct Problem {
  bilm::LSTMShape shape;
  std::vector<int64_t> lengths;
  std::vector<float> inputs, hidden, cell;
  std::vector<std::vector<float>> weights;  // four for each direction
  std::vector<float> outputs, last_hidden, last_cell, gates, cells;
  std::vector<float> output_factors, hidden_factors, cell_factors;

  Problem(int64_t D, int64_t B, int64_t T, int64_t I, int64_t P, int64_t C, bool padded,
          bool in_text_order, float clip)
      : shape{D, B, T, I, P, C, clip, clip, nullptr, in_text_order},
        inputs(numbers(D * B * T * I)), hidden(numbers(D * B * P)), cell(numbers(D * B * C)),
        outputs(D * B * T * P), last_hidden(D * B * P), last_cell(D * B * C),
        gates(D * T * B * 4 * C), cells(D * T * B * C), output_factors(numbers(D * B * T * P)),
        hidden_factors(numbers(D * B * P)), cell_factors(numbers(D * B * C)) {
    for (int64_t row = 0; row < B; ++row) lengths.push_back((row * 5 + 2) % (T + 1));
    if (padded) shape.lengths = lengths.data();
    for (int64_t direction = 0; direction < D; ++direction) {
      for (int64_t count : {I * 4 * C, P * 4 * C, 4 * C, C * P}) {
        weights.push_back(numbers(count, 0.4f));
      }
    }
  }

  std::vector<bilm::LSTMWeights> pointers() const {
    std::vector<bilm::LSTMWeights> all;
    for (size_t first = 0; first < weights.size(); first += 4) {
      all.push_back({weights[first].data(), weights[first + 1].data(), weights[first + 2].data(),
                     weights[first + 3].data()});
    }
    return all;
  }

  double loss(bool has_trace) {
    const bilm::LSTMTrace trace{has_trace ? gates.data() : nullptr,
                                has_trace ? cells.data() : nullptr};
    bilm::projected_lstm_forward(shape, pointers(),
                                 {inputs.data(), hidden.data(), cell.data(), outputs.data(),
                                  last_hidden.data(), last_cell.data(), trace});
    double total = 0.0;
    for (size_t j = 0; j < outputs.size(); ++j) total += outputs[j] * output_factors[j];
    for (size_t j = 0; j < last_hidden.size(); ++j) total += last_hidden[j] * hidden_factors[j];
    for (size_t j = 0; j < last_cell.size(); ++j) total += last_cell[j] * cell_factors[j];
    return total;
  }
};

void check_slope(Problem* problem, std::vector<float>* argument,
                 const std::vector<float>& gradient) {
  constexpr float kStep = 1e-2f;
  if (argument->empty()) return;
  const size_t place = random_bits() % argument->size();
  const float before = (*argument)[place];
  (*argument)[place] = before + kStep;
  const double above = problem->loss(false);
  (*argument)[place] = before - kStep;
  const double slope = (above - problem->loss(false)) / (2 * kStep);
  (*argument)[place] = before;
  expect(std::abs(slope - gradient[place]) < 0.02 + 0.02 * std::abs(slope), "a slope of the LSTM");
}

void run_lstm(int64_t D, int64_t B, int64_t T, int64_t I, int64_t P, int64_t C, bool padded,
              bool in_text_order, float clip, bool starts_at_zero = false) {
  Problem problem(D, B, T, I, P, C, padded, in_text_order, clip);
  if (starts_at_zero) std::fill(problem.hidden.begin(), problem.hidden.end(), 0.0f);
  expect(problem.loss(true) == problem.loss(false), "the trace changes nothing");
  std::vector<float> inputs(problem.inputs.size()), hidden(D * B * P), cell(D * B * C);
  std::vector<std::vector<float>> weights = problem.weights;
  std::vector<bilm::LSTMWeightGradients> pointers;
  for (size_t first = 0; first < weights.size(); first += 4) {
    pointers.push_back({weights[first].data(), weights[first + 1].data(),
                        weights[first + 2].data(), weights[first + 3].data()});
  }
  bilm::projected_lstm_backward(
      problem.shape, problem.pointers(),
      {problem.inputs.data(), problem.hidden.data(), problem.cell.data(), problem.outputs.data(),
       {problem.gates.data(), problem.cells.data()}, problem.output_factors.data(),
       problem.hidden_factors.data(), problem.cell_factors.data(), inputs.data(), hidden.data(),
       cell.data()},
      pointers);
  if (clip > 0.0f) return;  // there are kinks between the two places of a difference
  for (int time = 0; time < 4; ++time) {
    check_slope(&problem, &problem.inputs, inputs);
    check_slope(&problem, &problem.hidden, hidden);
    check_slope(&problem, &problem.cell, cell);
    for (size_t k = 0; k < weights.size(); ++k) {
      check_slope(&problem, &problem.weights[k], weights[k]);
    }
  }
}

// Nats and the gradients of hidden, weight, bias and extra, token by token.
std::vector<std::vector<double>> slow_softmax(const bilm::SoftmaxInput& input,
                                              const std::vector<float>& token_weights) {
  const int64_t P = input.features, V = input.classes;
  std::vector<double> nats(input.tokens), hidden(input.tokens * P), weight(V * P), bias(V),
      extra(input.tokens);
  for (int64_t token = 0; token < input.tokens; ++token) {
    const bool is_extra = input.targets[token] < 0;
    std::vector<double> logits;
    for (int64_t k = 0; k < V; ++k) {
      logits.push_back(input.bias[k]);
      for (int64_t j = 0; j < P; ++j) {
        logits[k] += double(input.hidden[token * P + j]) * input.weight[k * P + j];
      }
    }
    if (is_extra) logits.push_back(input.extra[token]);
    const int64_t target = is_extra ? V : input.targets[token];
    double total = 0.0;
    for (double logit : logits) total += std::exp(logit);
    nats[token] = std::log(total) - logits[target];
    for (int64_t k = 0; k < int64_t(logits.size()); ++k) {
      const double slope = token_weights[token] * (std::exp(logits[k]) / total - (k == target));
      if (k == V) {
        extra[token] = slope;
        continue;
      }
      bias[k] += slope;
      for (int64_t j = 0; j < P; ++j) {
        hidden[token * P + j] += slope * input.weight[k * P + j];
        weight[k * P + j] += slope * input.hidden[token * P + j];
      }
    }
  }
  return {nats, hidden, weight, bias, extra};
}

void run_softmax(int64_t tokens, int64_t classes, int64_t features, int64_t max_logits) {
  const auto hidden = numbers(tokens * features), weight = numbers(classes * features);
  const auto bias = numbers(classes), extra = numbers(tokens), token_weights = numbers(tokens);
  std::vector<int64_t> targets(tokens);
  for (int64_t token = 0; token < tokens; ++token) targets[token] = token * 7 % (classes + 1) - 1;
  const bilm::SoftmaxInput input{tokens, classes, features, hidden.data(), weight.data(),
                                 bias.data(), extra.data(), targets.data()};
  std::vector<float> nats(tokens), more(tokens), d_hidden(hidden.size()), d_weight(weight.size()),
      d_bias(classes), d_extra(tokens);
  bilm::softmax_cross_entropy(input, nullptr, max_logits, nats.data(), {});
  bilm::softmax_cross_entropy(input, token_weights.data(), max_logits, more.data(),
                              {d_hidden.data(), d_weight.data(), d_bias.data(), d_extra.data()});
  for (int64_t token = 0; token < tokens; ++token) {
    expect(std::abs(nats[token] - more[token]) < 1e-5, "nats with and without gradients");
  }
  const auto expected = slow_softmax(input, token_weights);
  for (size_t place = 0; place < expected.size(); ++place) {
    const std::vector<float>& found =
        *std::vector<std::vector<float>*>{&nats, &d_hidden, &d_weight, &d_bias, &d_extra}[place];
    for (size_t j = 0; j < found.size(); ++j) {
      expect(std::abs(found[j] - expected[place][j]) < 1e-4, "a value of the softmax");
    }
  }
}

void run_optimizer(int64_t count) {
  auto values = numbers(count), moment = numbers(count);
  const auto gradient = numbers(count), before = values;
  for (float& value : moment) value = value * value + 1.0f;
  const auto moment_before = moment;
  double squares = 0.0;
  for (float value : gradient) squares += double(value) * value;
  expect(std::abs(bilm::sum_of_squares(gradient.data(), count) / squares - 1) < 1e-6,
         "the sum of squares");
  bilm::adagrad(count, gradient.data(), 0.5f, 0.1f, 1e-6f, values.data(), moment.data());
  for (int64_t j = 0; j < count; ++j) {
    const double scaled = 0.5 * gradient[j], sum = moment_before[j] + scaled * scaled;
    expect(std::abs(moment[j] - sum) < 1e-5 * sum, "a moment of Adagrad");
    expect(std::abs(values[j] - (before[j] - 0.1 * scaled / std::sqrt(sum))) < 1e-5,
           "a value of Adagrad");
  }
}

void run_dropout(int64_t count) {
  const auto values = numbers(count);
  std::vector<float> dropped(count);
  bilm::dropout(count, values.data(), 0.25f, 123, dropped.data());
  double zeros = 0.0;
  for (int64_t j = 0; j < count; ++j) {
    zeros += dropped[j] == 0.0f;
    expect(dropped[j] == 0.0f || std::abs(dropped[j] * 0.75f - values[j]) < 1e-5, "a kept value");
  }
  expect(std::abs(zeros - 0.25 * count) <= 5 * std::sqrt(0.1875 * count), "the share of zeros");
}

// All tasks are run, and the exception of one reaches the caller, each time.
void run_failure() {
  for (int time = 0; time < 3; ++time) {
    std::atomic<int> done{0};
    bool has_thrown = false;
    try {
      bilm::parallel(7, [&](int number) {
        ++done;
        if (number % 3 == 1) throw std::runtime_error("refused");
      });
    } catch (const std::runtime_error&) {
      has_thrown = true;
    }
    expect(has_thrown && done == 7, "an exception reaches the caller");
  }
}

void run_nonlinear() {
  for (float x = -30.0f; x < 30.0f; x += 0.0137f) {
    expect(std::abs(bilm::fast_tanh(x) - std::tanh(static_cast<double>(x))) < 2e-7, "tanh");
    const double sigmoid = 1.0 / (1.0 + std::exp(-static_cast<double>(x)));
    expect(std::abs(bilm::fast_sigmoid(x) - sigmoid) < 2e-7, "sigmoid");
    expect(std::abs(bilm::fast_exp(x) / std::exp(static_cast<double>(x)) - 1) < 5e-7, "exp");
  }
  expect(std::isnan(bilm::fast_tanh(NAN)) && std::isnan(bilm::fast_sigmoid(NAN)), "NaN");
}

}  // namespace

int main() {
  run_nonlinear();
  for (const bool padded : {false, true}) {
    for (const bool in_text_order : {false, true}) {
      for (const float clip : {0.0f, 0.4f}) {
        run_lstm(2, 3, 5, 7, 6, 9, padded, in_text_order, clip);
        run_lstm(1, 1, 1, 1, 1, 1, padded, in_text_order, clip);
        run_lstm(2, 25, 4, 5, 3, 17, padded, in_text_order, clip);  // several blocks of rows
        run_lstm(1, 40, 70, 2, 3, 5, padded, in_text_order, clip);  // several chunks of steps
        run_lstm(2, 3, 5, 7, 6, 9, padded, in_text_order, clip, true);
        run_lstm(2, 0, 5, 7, 6, 9, padded, in_text_order, clip);
        run_lstm(2, 3, 0, 7, 6, 9, padded, in_text_order, clip);
      }
    }
  }
  run_softmax(0, 3, 2, 1);
  run_softmax(1, 1, 1, 1);
  run_softmax(5, 7, 3, 1 << 20);
  run_softmax(70, 2100, 5, 50000);
  for (int64_t count : {1, 31, 70000}) {
    run_optimizer(count);
    run_dropout(count);
  }
  run_failure();
  std::puts("ok");
  return 0;
}
