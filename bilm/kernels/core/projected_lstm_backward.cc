#include <algorithm>
#include <memory>

#include "gemm.h"
#include "lstm_steps.h"
#include "memory.h"
#include "nonlinear.h"
#include "parallel.h"
#include "projected_lstm.h"
#include "row_blocks.h"

namespace bilm {
namespace {

// Rows times steps whose weight gradients are computed at once: they bound the work space, and
// each time the weights' gradients are read and written.
constexpr int64_t kBackwardRows = 1280;

void copy_or_clear(const float* from, int64_t count, float* to) {
  if (from == nullptr) {
    std::fill_n(to, count, 0.0f);
  } else {
    copy(from, count, to);
  }
}

// One row and step: turns the gradient of `activated` and the carried gradient of the cell into
// those of the gates before their nonlinearities and of the cell before, and adds to the bias's.
void step_backward(int64_t size, const float* gates, const float* cell_before,
                   const float* cell, float cell_clip,
                   const float* activated_gradient, float* cell_gradient,
                   float* gates_gradient, float* activated,
                   float* bias_gradient) {
  const float limit = limit_of(cell_clip);
#pragma omp simd
  for (int64_t j = 0; j < size; ++j) {
    const float candidate = gates[j], input = gates[size + j];
    const float forget = gates[2 * size + j], output = gates[3 * size + j];
    const float squashed = fast_tanh(cell[j]), upstream = activated_gradient[j];
    activated[j] = output * squashed;
    float total = cell_gradient[j] + upstream * output * (1.0f - squashed * squashed);
    const float distance = cell[j] < 0.0f ? -cell[j] : cell[j];
    total = distance < limit ? total : 0.0f;
    cell_gradient[j] = total * forget;
    const float c = total * input * (1.0f - candidate * candidate);
    const float i = total * candidate * input * (1.0f - input);
    const float f = total * cell_before[j] * forget * (1.0f - forget);
    const float o = upstream * squashed * output * (1.0f - output);
    gates_gradient[j] = c;
    gates_gradient[size + j] = i;
    gates_gradient[2 * size + j] = f;
    gates_gradient[3 * size + j] = o;
    bias_gradient[j] += c;
    bias_gradient[size + j] += i;
    bias_gradient[2 * size + j] += f;
    bias_gradient[3 * size + j] += o;
  }
}

// The backward pass of a block of rows, some steps at a time, the last ones first. The buffers
// hold these steps, (steps_at_once, rows, ...), and are zero where a row has none.
class BackwardBlock {
 public:
  BackwardBlock(const LSTMShape& shape, const LSTMWeights& weights, const RowBlock& block,
                const LSTMBackwardArrays& arrays, int64_t steps_at_once)
      : shape_(shape), weights_(weights), block_(block), arrays_(arrays), rows_(block.count),
        first_row_(block.direction * shape.batch + block.first), size_(steps_at_once * rows_),
        recurrent_weight_(true, rows_, shape.projection, 4 * shape.cell, weights.recurrent_weight,
                          4 * shape.cell),
        projection_weight_(true, rows_, shape.cell, shape.projection, weights.projection_weight,
                           shape.projection),
        inputs_(size_ * shape.input), hidden_before_(size_ * shape.projection),
        activated_(size_ * shape.cell), gates_gradient_(size_ * 4 * shape.cell),
        projected_gradient_(size_ * shape.projection), inputs_gradient_(size_ * shape.input),
        bias_gradient_(4 * shape.cell), activated_gradient_(rows_ * shape.cell),
        carried_(rows_ * shape.projection) {
    std::fill_n(bias_gradient_.data(), 4 * shape.cell, 0.0f);
  }

  int64_t direction() const { return block_.direction; }

  // Everything but the gradients of the weights. The states' gradients in the arrays are those
  // after the step end - 1, and become those before `start`.
  void run(int64_t start, int64_t end) {
    const int64_t P = shape_.projection, C = shape_.cell, I = shape_.input;
    for (int64_t step = end - 1; step >= start; --step) {
      const int64_t at = (step - start) * rows_;  // of the step's first row in the buffers
      for (int64_t row = 0; row < rows_; ++row) read(row, step, at + row);
      projection_weight_.multiply(rows_, projected_gradient_ + at * P, P, 0.0f,
                                  activated_gradient_, C);
      for (int64_t row = 0; row < rows_; ++row) differentiate(row, step, at + row);
      recurrent_weight_.multiply(rows_, gates_gradient_ + at * 4 * C, 4 * C, 0.0f, carried_, P);
      for (int64_t row = 0; row < rows_; ++row) {
        if (!has(row, step)) continue;
        copy(carried_ + row * P, P, arrays_.hidden_gradient + (first_row_ + row) * P);
      }
    }
    gemm(false, true, (end - start) * rows_, I, 4 * C, gates_gradient_, 4 * C,
         weights_.input_weight, 4 * C, 0.0f, inputs_gradient_, I);
    for (int64_t step = start; step < end; ++step) {
      for (int64_t row = 0; row < rows_; ++row) {
        copy(inputs_gradient_ + ((step - start) * rows_ + row) * I, I,
             arrays_.inputs_gradient + place(row, step) * I);
      }
    }
  }

  // The columns first ... first + count - 1 of the gradients of the gates' weights, from the steps
  // of the last run. They are added to what is there if `beta` is 1, and replace it if it is 0.
  void add_gates_weights(int64_t first, int64_t count, int64_t steps, float beta,
                         const LSTMWeightGradients& gradients) const {
    const int64_t P = shape_.projection, C = shape_.cell, I = shape_.input;
    const RightFactor gates(false, P, count, steps * rows_, gates_gradient_ + first, 4 * C);
    gates.multiply(P, hidden_before_, P, beta, gradients.recurrent_weight + first, 4 * C, true);
    gates.multiply(I, inputs_, I, beta, gradients.input_weight + first, 4 * C, true);
  }

  // The same for the projection's weight.
  void add_projection_weight(int64_t first, int64_t count, int64_t steps, float beta,
                             const LSTMWeightGradients& gradients) const {
    const int64_t P = shape_.projection, C = shape_.cell;
    gemm(true, false, C, count, steps * rows_, activated_, C, projected_gradient_ + first, P, beta,
         gradients.projection_weight + first, P);
  }

  void add_bias(float* total) const {
    for (int64_t j = 0; j < 4 * shape_.cell; ++j) total[j] += bias_gradient_[j];
  }

 private:
  bool has(int64_t row, int64_t step) const { return is_running(shape_, block_.first + row, step); }

  int64_t place(int64_t row, int64_t step) const {
    return place_of(shape_, block_.direction, block_.first + row, step);
  }

  // Reads a row's step into the buffers' row `at`, and computes the projection's gradient.
  void read(int64_t row, int64_t step, int64_t at) {
    const int64_t P = shape_.projection, I = shape_.input;
    float* gradient = projected_gradient_ + at * P;
    if (!has(row, step)) {  // 0 times NaN would be NaN
      std::fill_n(gradient, P, 0.0f);
      std::fill_n(inputs_ + at * I, I, 0.0f);
      std::fill_n(hidden_before_ + at * P, P, 0.0f);
      return;
    }
    const float* before = step > 0 ? arrays_.outputs + place(row, step - 1) * P
                                   : arrays_.hidden + (first_row_ + row) * P;
    copy(arrays_.inputs + place(row, step) * I, I, inputs_ + at * I);
    copy(before, P, hidden_before_ + at * P);
    const int64_t first = place(row, step) * P;
    copy_or_clear(arrays_.outputs_gradient ? arrays_.outputs_gradient + first : nullptr, P,
                  gradient);
    const float* carried = arrays_.hidden_gradient + (first_row_ + row) * P;
    const float limit = limit_of(shape_.projection_clip);
    for (int64_t j = 0; j < P; ++j) {
      const float output = arrays_.outputs[first + j];
      const float distance = output < 0.0f ? -output : output;
      gradient[j] = distance < limit ? gradient[j] + carried[j] : 0.0f;
    }
  }

  // From the gradient of the activated cell to those of the gates and of the cell before.
  void differentiate(int64_t row, int64_t step, int64_t at) {
    const int64_t C = shape_.cell;
    if (!has(row, step)) {
      std::fill_n(gates_gradient_ + at * 4 * C, 4 * C, 0.0f);
      std::fill_n(activated_ + at * C, C, 0.0f);
      return;
    }
    const int64_t traced =
        (block_.direction * shape_.steps + step) * shape_.batch + block_.first + row;
    const LSTMTrace& trace = arrays_.trace;
    const float* cell_before = step > 0 ? trace.cells + (traced - shape_.batch) * C
                                        : arrays_.cell + (first_row_ + row) * C;
    step_backward(C, trace.gates + traced * 4 * C, cell_before, trace.cells + traced * C,
                  shape_.cell_clip, activated_gradient_ + row * C,
                  arrays_.cell_gradient + (first_row_ + row) * C, gates_gradient_ + at * 4 * C,
                  activated_ + at * C, bias_gradient_);
  }

  const LSTMShape& shape_;
  const LSTMWeights& weights_;
  const RowBlock& block_;
  const LSTMBackwardArrays& arrays_;
  const int64_t rows_, first_row_, size_;
  const RightFactor recurrent_weight_, projection_weight_;
  Buffer inputs_, hidden_before_, activated_, gates_gradient_, projected_gradient_;
  Buffer inputs_gradient_, bias_gradient_, activated_gradient_, carried_;
};

// The columns first ... first + count - 1 of the gradients of weights that share them: those of
// the gates, or of the projection.
struct WeightTask {
  bool is_of_gates;
  int64_t direction, first, count;
};

std::vector<WeightTask> weight_tasks(const LSTMShape& shape) {
  const int64_t parts = std::max<int64_t>(1, num_threads() / shape.directions);
  std::vector<WeightTask> tasks;
  for (int64_t direction = 0; direction < shape.directions; ++direction) {
    for (const bool is_of_gates : {true, false}) {
      const int64_t columns = is_of_gates ? 4 * shape.cell : shape.projection;
      const int64_t size = (columns + parts - 1) / parts;
      for (int64_t first = 0; first < columns; first += size) {
        tasks.push_back({is_of_gates, direction, first, std::min(size, columns - first)});
      }
    }
  }
  return tasks;
}

void clear_beyond(const LSTMShape& shape, int64_t steps, float* inputs_gradient) {
  for (int64_t direction = 0; direction < shape.directions; ++direction) {
    for (int64_t row = 0; row < shape.batch; ++row) {
      for (int64_t step = steps; step < shape.steps; ++step) {
        std::fill_n(inputs_gradient + place_of(shape, direction, row, step) * shape.input,
                    shape.input, 0.0f);
      }
    }
  }
}

void clear_gradients(const LSTMShape& shape, const LSTMWeightGradients& gradients) {
  std::fill_n(gradients.input_weight, shape.input * 4 * shape.cell, 0.0f);
  std::fill_n(gradients.recurrent_weight, shape.projection * 4 * shape.cell, 0.0f);
  std::fill_n(gradients.bias, 4 * shape.cell, 0.0f);
  std::fill_n(gradients.projection_weight, shape.cell * shape.projection, 0.0f);
}

}  // namespace

void projected_lstm_backward(const LSTMShape& shape, const std::vector<LSTMWeights>& weights,
                             const LSTMBackwardArrays& arrays,
                             const std::vector<LSTMWeightGradients>& weight_gradients) {
  const int64_t state_rows = shape.directions * shape.batch;
  copy_or_clear(arrays.last_hidden_gradient, state_rows * shape.projection, arrays.hidden_gradient);
  copy_or_clear(arrays.last_cell_gradient, state_rows * shape.cell, arrays.cell_gradient);
  const int64_t steps = longest(shape, 0, shape.batch);
  clear_beyond(shape, steps, arrays.inputs_gradient);
  if (steps == 0 || shape.batch == 0) {
    for (const auto& gradients : weight_gradients) clear_gradients(shape, gradients);
    return;
  }
  const auto rows = row_blocks(shape.directions, shape.batch);
  std::vector<std::unique_ptr<BackwardBlock>> blocks(rows.size());
  const auto tasks = weight_tasks(shape);
  // all blocks take the same steps at once: the weights' gradients sum over blocks
  const int64_t at_once = steps_at_once(steps, rows[0].count, kBackwardRows);
  for (int64_t end = steps, start; end > 0; end = start) {
    start = std::max<int64_t>(0, end - at_once);
    parallel(rows.size(), [&](int number) {
      auto& block = blocks[number];
      if (!block) {
        const LSTMWeights& own = weights[rows[number].direction];
        block = std::make_unique<BackwardBlock>(shape, own, rows[number], arrays, at_once);
      }
      block->run(start, end);
    });
    parallel(tasks.size(), [&](int number) {
      const WeightTask& task = tasks[number];
      const auto add = task.is_of_gates ? &BackwardBlock::add_gates_weights
                                        : &BackwardBlock::add_projection_weight;
      float beta = end == steps ? 0.0f : 1.0f;
      for (const auto& block : blocks) {
        if (block->direction() != task.direction) continue;
        (*block.*add)(task.first, task.count, end - start, beta, weight_gradients[task.direction]);
        beta = 1.0f;
      }
    });
  }
  for (int64_t direction = 0; direction < shape.directions; ++direction) {
    std::fill_n(weight_gradients[direction].bias, 4 * shape.cell, 0.0f);
    for (const auto& block : blocks) {
      if (block->direction() == direction) block->add_bias(weight_gradients[direction].bias);
    }
  }
}

}  // namespace bilm
