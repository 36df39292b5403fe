#include <algorithm>

#include "gemm.h"
#include "lstm_steps.h"
#include "memory.h"
#include "nonlinear.h"
#include "parallel.h"
#include "projected_lstm.h"
#include "row_blocks.h"

namespace bilm {
namespace {

// Rows times steps whose gate inputs are computed at once: enough for a fast product, few enough
// to stay in the cache until they are used.
constexpr int64_t kForwardRows = 64;

// One row and step, from the gates before their nonlinearities.
template <bool kHasTrace>
void step_forward(int64_t size, const float* gates, const float* bias,
                  float cell_clip, float* cell, float* activated,
                  float* gates_out, float* cell_out) {
  const float limit = limit_of(cell_clip);
#pragma omp simd
  for (int64_t j = 0; j < size; ++j) {
    const float candidate = fast_tanh(gates[j] + bias[j]);
    const float input = fast_sigmoid(gates[size + j] + bias[size + j]);
    const float forget = fast_sigmoid(gates[2 * size + j] + bias[2 * size + j]);
    const float output = fast_sigmoid(gates[3 * size + j] + bias[3 * size + j]);
    const float value = clamp(forget * cell[j] + input * candidate, -limit, limit);
    cell[j] = value;
    activated[j] = output * fast_tanh(value);
    if (kHasTrace) {
      gates_out[j] = candidate;
      gates_out[size + j] = input;
      gates_out[2 * size + j] = forget;
      gates_out[3 * size + j] = output;
      cell_out[j] = value;
    }
  }
}

// A weight as the right factor of products of a fixed number of rows. Equal rows give equal bits,
// wherever they stand.
class Weight {
 public:
  Weight(bool is_used_again, int64_t rows, int64_t columns, int64_t inner, const float* values)
      : rows_(rows), at_once_(rows_rounded_alike(rows)), columns_(columns), inner_(inner),
        factor_(false, is_used_again || at_once_ < rows ? at_once_ : 0, columns, inner, values,
                columns) {}

  // c (rows, columns) = a (rows, inner) weight + beta * c
  void multiply(const float* a, float beta, float* c) const {
    for (int64_t row = 0; row < rows_; row += at_once_) {
      factor_.multiply(at_once_, a + row * inner_, inner_, beta, c + row * columns_, columns_);
    }
  }

 private:
  const int64_t rows_, at_once_, columns_, inner_;
  const RightFactor factor_;
};

// The forward pass of a block of rows, some steps at a time. The buffers hold these steps,
// (at_once, rows, ...): steps stand one after the other, unlike in the arguments.
class ForwardBlock {
 public:
  ForwardBlock(const LSTMShape& shape, const LSTMWeights& weights, const RowBlock& block,
               const LSTMForwardArrays& arrays)
      : shape_(shape), bias_(weights.bias), block_(block), arrays_(arrays), rows_(block.count),
        first_row_(block.direction * shape.batch + block.first),
        steps_(longest(shape, block.first, block.count)),
        at_once_(steps_at_once(steps_, rows_, kForwardRows)),
        // for one product the factor is not packed
        input_weight_(steps_ > at_once_, at_once_ * rows_, 4 * shape.cell, shape.input,
                      weights.input_weight),
        recurrent_weight_(true, rows_, 4 * shape.cell, shape.projection, weights.recurrent_weight),
        projection_weight_(true, rows_, shape.projection, shape.cell, weights.projection_weight),
        inputs_(at_once_ * rows_ * shape.input), gates_(at_once_ * rows_ * 4 * shape.cell),
        hidden_(rows_ * shape.projection), projected_(rows_ * shape.projection),
        activated_(rows_ * shape.cell) {}

  void run() {
    const int64_t P = shape_.projection, C = shape_.cell;
    const float* hidden = arrays_.hidden + first_row_ * P;
    copy(hidden, rows_ * P, hidden_);
    const auto is_zero = [](float value) { return value == 0.0f; };
    const bool starts_at_zero = std::all_of(hidden, hidden + rows_ * P, is_zero);
    copy(arrays_.cell + first_row_ * C, rows_ * C, arrays_.last_cell + first_row_ * C);
    for (int64_t start = 0; start < steps_; start += at_once_) {
      const int64_t end = std::min(start + at_once_, steps_);
      compute_gate_inputs(start, end);
      for (int64_t step = start; step < end; ++step) {
        float* gates = gates_ + (step - start) * rows_ * 4 * C;
        if (step > 0 || !starts_at_zero) {  // 0 * inf is taken as 0
          recurrent_weight_.multiply(hidden_, 1.0f, gates);
        }
        for (int64_t row = 0; row < rows_; ++row) activate(row, step, gates + row * 4 * C);
        projection_weight_.multiply(activated_, 0.0f, projected_);
        for (int64_t row = 0; row < rows_; ++row) write_output(row, step);
      }
    }
    for (int64_t row = 0; row < rows_; ++row) {
      for (int64_t step = steps_; step < shape_.steps; ++step) {
        std::fill_n(output_of(row, step), P, 0.0f);
      }
    }
    copy(hidden_, rows_ * P, arrays_.last_hidden + first_row_ * P);
  }

 private:
  bool has(int64_t row, int64_t step) const { return is_running(shape_, block_.first + row, step); }

  float* output_of(int64_t row, int64_t step) const {
    return arrays_.outputs +
           place_of(shape_, block_.direction, block_.first + row, step) * shape_.projection;
  }

  void compute_gate_inputs(int64_t start, int64_t end) {
    const int64_t I = shape_.input;
    for (int64_t step = start; step < end; ++step) {
      for (int64_t row = 0; row < rows_; ++row) {
        const int64_t place = place_of(shape_, block_.direction, block_.first + row, step);
        copy(arrays_.inputs + place * I, I, inputs_ + ((step - start) * rows_ + row) * I);
      }
    }
    // the last steps may be fewer: the factor is packed for so many rows, and what is left of the
    // steps before is computed for nothing
    input_weight_.multiply(inputs_, 0.0f, gates_);
  }

  void activate(int64_t row, int64_t step, const float* gates) {
    const int64_t C = shape_.cell;
    float* activated = activated_ + row * C;
    if (!has(row, step)) {
      std::fill_n(activated, C, 0.0f);
      return;
    }
    float* cell = arrays_.last_cell + (first_row_ + row) * C;
    const LSTMTrace& trace = arrays_.trace;
    if (trace.gates == nullptr) {
      step_forward<false>(C, gates, bias_, shape_.cell_clip, cell, activated, nullptr, nullptr);
      return;
    }
    const int64_t place =
        (block_.direction * shape_.steps + step) * shape_.batch + block_.first + row;
    step_forward<true>(C, gates, bias_, shape_.cell_clip, cell, activated,
                       trace.gates + place * 4 * C, trace.cells + place * C);
  }

  void write_output(int64_t row, int64_t step) {
    const int64_t P = shape_.projection;
    const float limit = limit_of(shape_.projection_clip);
    float* output = output_of(row, step);
    if (!has(row, step)) {
      std::fill_n(output, P, 0.0f);
      return;
    }
    for (int64_t j = 0; j < P; ++j) output[j] = clamp(projected_[row * P + j], -limit, limit);
    copy(output, P, hidden_ + row * P);
  }

  const LSTMShape& shape_;
  const float* bias_;
  const RowBlock& block_;
  const LSTMForwardArrays& arrays_;
  const int64_t rows_, first_row_, steps_, at_once_;
  const Weight input_weight_, recurrent_weight_, projection_weight_;
  Buffer inputs_, gates_, hidden_, projected_, activated_;
};

}  // namespace

void projected_lstm_forward(const LSTMShape& shape, const std::vector<LSTMWeights>& weights,
                            const LSTMForwardArrays& arrays) {
  const auto blocks = row_blocks(shape.directions, shape.batch);
  parallel(blocks.size(), [&](int number) {
    const RowBlock& block = blocks[number];
    ForwardBlock(shape, weights[block.direction], block, arrays).run();
  });
}

}  // namespace bilm
