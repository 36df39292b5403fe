#include "projected_lstm.h"

#include <algorithm>
#include <limits>
#include <memory>

#include "gemm.h"
#include "memory.h"
#include "nonlinear.h"
#include "parallel.h"
#include "row_blocks.h"

namespace bilm {
namespace {

// Rows times steps whose gate inputs are computed at once: enough for a fast product, few enough
// to stay in the cache until they are used.
constexpr int64_t kForwardRows = 64;
// Rows times steps whose weight gradients are computed at once: they bound the work space, and
// each time the weights' gradients are read and written.
constexpr int64_t kBackwardRows = 1280;

float limit_of(float clip) { return clip > 0.0f ? clip : std::numeric_limits<float>::infinity(); }

bool is_running(const LSTMShape& shape, int64_t row, int64_t step) {
  return shape.lengths == nullptr || step < shape.lengths[row];
}

// Where the inputs and outputs of a direction's step stand, in units of their features.
int64_t place_of(const LSTMShape& shape, int64_t direction, int64_t row, int64_t step) {
  if (!shape.in_text_order) return (direction * shape.batch + row) * shape.steps + step;
  if (direction == 1 && is_running(shape, row, step)) {
    step = (shape.lengths == nullptr ? shape.steps : shape.lengths[row]) - 1 - step;
  }
  return (row * shape.steps + step) * shape.directions + direction;
}

int64_t longest(const LSTMShape& shape, const RowBlock& block) {
  if (shape.lengths == nullptr) return shape.steps;
  const int64_t* first = shape.lengths + block.first;
  return std::min(shape.steps, *std::max_element(first, first + block.count));
}

// The largest number of steps, at most wanted_rows / rows, that splits `steps` evenly.
int64_t steps_at_once(int64_t steps, int64_t rows, int64_t wanted_rows) {
  const int64_t most = std::max<int64_t>(1, wanted_rows / rows);
  const int64_t parts = (steps + most - 1) / most;
  return parts == 0 ? 1 : (steps + parts - 1) / parts;
}

void copy(const float* from, int64_t count, float* to) { std::copy(from, from + count, to); }

void copy_or_clear(const float* from, int64_t count, float* to) {
  if (from == nullptr) {
    std::fill_n(to, count, 0.0f);
  } else {
    copy(from, count, to);
  }
}

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

void run_forward(const LSTMShape& shape, const LSTMWeights& weights, const RowBlock& block,
                 const float* inputs, const float* hidden_before, const float* cell_before,
                 float* outputs, float* last_hidden, float* last_cell, const LSTMTrace& trace) {
  const int64_t rows = block.count, P = shape.projection, C = shape.cell, I = shape.input;
  const int64_t steps = longest(shape, block);
  const int64_t at_once = steps_at_once(steps, rows, kForwardRows);
  const int64_t first_row = block.direction * shape.batch + block.first;
  const int64_t input_rows = steps > at_once ? at_once * rows : 0;  // 0: one product, not packed
  const RightFactor input_weight(false, input_rows, 4 * C, I, weights.input_weight, 4 * C);
  const RightFactor recurrent_weight(false, rows, 4 * C, P, weights.recurrent_weight, 4 * C);
  const RightFactor projection_weight(false, rows, P, C, weights.projection_weight, P);

  // (at_once, rows, ...): steps stand one after the other, unlike in the arguments
  Buffer chunk(at_once * rows * I), gates(at_once * rows * 4 * C);
  Buffer hidden(rows * P), projected(rows * P), activated(rows * C);
  std::fill_n(chunk.data(), at_once * rows * I, 0.0f);
  copy(hidden_before + first_row * P, rows * P, hidden);
  copy(cell_before + first_row * C, rows * C, last_cell + first_row * C);

  for (int64_t start = 0; start < steps; start += at_once) {
    const int64_t end = std::min(start + at_once, steps);
    for (int64_t step = start; step < end; ++step) {
      for (int64_t row = 0; row < rows; ++row) {
        copy(inputs + place_of(shape, block.direction, block.first + row, step) * I, I,
             chunk + ((step - start) * rows + row) * I);
      }
    }
    input_weight.multiply(at_once * rows, chunk, I, 0.0f, gates, 4 * C);
    for (int64_t step = start; step < end; ++step) {
      float* step_gates = gates + (step - start) * rows * 4 * C;
      recurrent_weight.multiply(rows, hidden, P, 1.0f, step_gates, 4 * C);
      for (int64_t row = 0; row < rows; ++row) {
        float* row_activated = activated + row * C;
        if (!is_running(shape, block.first + row, step)) {
          std::fill_n(row_activated, C, 0.0f);
          continue;
        }
        const float* row_gates = step_gates + row * 4 * C;
        float* row_cell = last_cell + (first_row + row) * C;
        if (trace.gates == nullptr) {
          step_forward<false>(C, row_gates, weights.bias, shape.cell_clip, row_cell, row_activated,
                              nullptr, nullptr);
          continue;
        }
        const int64_t place =
            (block.direction * shape.steps + step) * shape.batch + block.first + row;
        step_forward<true>(C, row_gates, weights.bias, shape.cell_clip, row_cell, row_activated,
                           trace.gates + place * 4 * C, trace.cells + place * C);
      }
      projection_weight.multiply(rows, activated, C, 0.0f, projected, P);
      const float limit = limit_of(shape.projection_clip);
      for (int64_t row = 0; row < rows; ++row) {
        float* output = outputs + place_of(shape, block.direction, block.first + row, step) * P;
        if (!is_running(shape, block.first + row, step)) {
          std::fill_n(output, P, 0.0f);
          continue;
        }
        for (int64_t j = 0; j < P; ++j) {
          output[j] = clamp(projected[row * P + j], -limit, limit);
        }
        copy(output, P, hidden + row * P);
      }
    }
  }
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t step = steps; step < shape.steps; ++step) {
      std::fill_n(outputs + place_of(shape, block.direction, block.first + row, step) * P, P, 0.0f);
    }
  }
  copy(hidden, rows * P, last_hidden + first_row * P);
}

// The backward pass of a block of rows, some steps at a time, the last ones first. The arrays
// hold these steps, (at_once, rows, ...), and are zero where a row has none.
struct BackwardBlock {
  RowBlock block;
  int64_t at_once;
  RightFactor recurrent_weight, projection_weight;
  Buffer inputs, hidden_before, activated, gates_gradient, projected_gradient, inputs_gradient;
  Buffer bias_gradient, activated_gradient, carried;

  BackwardBlock(const LSTMShape& shape, const LSTMWeights& weights, const RowBlock& rows_of)
      : block(rows_of),
        at_once(steps_at_once(shape.steps, block.count, kBackwardRows)),
        recurrent_weight(true, block.count, shape.projection, 4 * shape.cell,
                         weights.recurrent_weight, 4 * shape.cell),
        projection_weight(true, block.count, shape.cell, shape.projection,
                          weights.projection_weight, shape.projection),
        inputs(size() * shape.input),
        hidden_before(size() * shape.projection),
        activated(size() * shape.cell),
        gates_gradient(size() * 4 * shape.cell),
        projected_gradient(size() * shape.projection),
        inputs_gradient(size() * shape.input),
        bias_gradient(4 * shape.cell),
        activated_gradient(block.count * shape.cell),
        carried(block.count * shape.projection) {
    std::fill_n(bias_gradient.data(), 4 * shape.cell, 0.0f);
  }

  int64_t size() const { return at_once * block.count; }
};

// Everything but the gradients of the weights. `hidden_gradient` and `cell_gradient` hold those of
// the state after the step `end - 1`, and in the end those of the state before `start`.
void run_backward(const LSTMShape& shape, const LSTMWeights& weights, BackwardBlock* work,
                  int64_t start, int64_t end, const float* inputs, const float* hidden,
                  const float* cell, const float* outputs, const LSTMTrace& trace,
                  const float* outputs_gradient, float* inputs_gradient, float* hidden_gradient,
                  float* cell_gradient) {
  const RowBlock& block = work->block;
  const int64_t rows = block.count, P = shape.projection, C = shape.cell, I = shape.input;
  const int64_t first_row = block.direction * shape.batch + block.first;
  const float limit = limit_of(shape.projection_clip);
  for (int64_t step = end - 1; step >= start; --step) {
    const int64_t at = (step - start) * rows;  // of the step's first row in the work space
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t place = place_of(shape, block.direction, block.first + row, step);
      const float* before = hidden + (first_row + row) * P;
      if (step > 0) {
        before = outputs + place_of(shape, block.direction, block.first + row, step - 1) * P;
      }
      float* gradient = work->projected_gradient + (at + row) * P;
      float* read = work->inputs + (at + row) * I;
      float* hidden_before = work->hidden_before + (at + row) * P;
      if (!is_running(shape, block.first + row, step)) {  // 0 times NaN would be NaN
        std::fill_n(gradient, P, 0.0f);
        std::fill_n(read, I, 0.0f);
        std::fill_n(hidden_before, P, 0.0f);
        continue;
      }
      copy(inputs + place * I, I, read);
      copy(before, P, hidden_before);
      const float* carried = hidden_gradient + (first_row + row) * P;
      copy_or_clear(outputs_gradient ? outputs_gradient + place * P : nullptr, P, gradient);
      for (int64_t j = 0; j < P; ++j) {
        const float output = outputs[place * P + j];
        const float distance = output < 0.0f ? -output : output;
        gradient[j] = distance < limit ? gradient[j] + carried[j] : 0.0f;
      }
    }
    work->projection_weight.multiply(rows, work->projected_gradient + at * P, P, 0.0f,
                                     work->activated_gradient, C);
    for (int64_t row = 0; row < rows; ++row) {
      float* gates_gradient = work->gates_gradient + (at + row) * 4 * C;
      float* activated = work->activated + (at + row) * C;
      if (!is_running(shape, block.first + row, step)) {
        std::fill_n(gates_gradient, 4 * C, 0.0f);
        std::fill_n(activated, C, 0.0f);
        continue;
      }
      const int64_t place =
          (block.direction * shape.steps + step) * shape.batch + block.first + row;
      const float* cell_before =
          step == 0 ? cell + (first_row + row) * C : trace.cells + (place - shape.batch) * C;
      step_backward(C, trace.gates + place * 4 * C, cell_before, trace.cells + place * C,
                    shape.cell_clip, work->activated_gradient + row * C,
                    cell_gradient + (first_row + row) * C, gates_gradient, activated,
                    work->bias_gradient);
    }
    work->recurrent_weight.multiply(rows, work->gates_gradient + at * 4 * C, 4 * C, 0.0f,
                                    work->carried, P);
    for (int64_t row = 0; row < rows; ++row) {
      if (!is_running(shape, block.first + row, step)) continue;
      copy(work->carried + row * P, P, hidden_gradient + (first_row + row) * P);
    }
  }
  gemm(false, true, (end - start) * rows, I, 4 * C, work->gates_gradient, 4 * C,
       weights.input_weight, 4 * C, 0.0f, work->inputs_gradient, I);
  for (int64_t step = start; step < end; ++step) {
    for (int64_t row = 0; row < rows; ++row) {
      copy(work->inputs_gradient + ((step - start) * rows + row) * I, I,
           inputs_gradient + place_of(shape, block.direction, block.first + row, step) * I);
    }
  }
}

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

// Adds the products of all blocks of the direction over `steps` steps; `beta` 0 at the beginning.
void add_weight_gradient(const LSTMShape& shape, const WeightTask& task,
                         const std::vector<std::unique_ptr<BackwardBlock>>& blocks, int64_t steps,
                         float beta, const LSTMWeightGradients& gradients) {
  const int64_t P = shape.projection, C = shape.cell, I = shape.input;
  for (const auto& work : blocks) {
    if (work->block.direction != task.direction) continue;
    const int64_t rows = steps * work->block.count;
    if (task.is_of_gates) {
      const RightFactor gates(false, P, task.count, rows, work->gates_gradient + task.first, 4 * C);
      gates.multiply(P, work->hidden_before, P, beta, gradients.recurrent_weight + task.first,
                     4 * C, true);
      gates.multiply(I, work->inputs, I, beta, gradients.input_weight + task.first, 4 * C, true);
    } else {
      gemm(true, false, C, task.count, rows, work->activated, C,
           work->projected_gradient + task.first, P, beta, gradients.projection_weight + task.first,
           P);
    }
    beta = 1.0f;
  }
}

}  // namespace

void projected_lstm_forward(const LSTMShape& shape, const std::vector<LSTMWeights>& weights,
                            const float* inputs, const float* hidden, const float* cell,
                            float* outputs, float* last_hidden, float* last_cell,
                            const LSTMTrace& trace) {
  const auto blocks = row_blocks(shape.directions, shape.batch);
  parallel(blocks.size(), [&](int number) {
    const RowBlock& block = blocks[number];
    run_forward(shape, weights[block.direction], block, inputs, hidden, cell, outputs, last_hidden,
                last_cell, trace);
  });
}

void projected_lstm_backward(const LSTMShape& shape, const std::vector<LSTMWeights>& weights,
                             const float* inputs, const float* hidden, const float* cell,
                             const float* outputs, const LSTMTrace& trace,
                             const float* outputs_gradient, const float* last_hidden_gradient,
                             const float* last_cell_gradient, float* inputs_gradient,
                             float* hidden_gradient, float* cell_gradient,
                             const std::vector<LSTMWeightGradients>& weight_gradients) {
  const int64_t state_rows = shape.directions * shape.batch;
  copy_or_clear(last_hidden_gradient, state_rows * shape.projection, hidden_gradient);
  copy_or_clear(last_cell_gradient, state_rows * shape.cell, cell_gradient);

  if (shape.batch == 0 || shape.steps == 0) {
    for (const LSTMWeightGradients& gradients : weight_gradients) {
      std::fill_n(gradients.input_weight, shape.input * 4 * shape.cell, 0.0f);
      std::fill_n(gradients.recurrent_weight, shape.projection * 4 * shape.cell, 0.0f);
      std::fill_n(gradients.bias, 4 * shape.cell, 0.0f);
      std::fill_n(gradients.projection_weight, shape.cell * shape.projection, 0.0f);
    }
    return;
  }
  const auto rows = row_blocks(shape.directions, shape.batch);
  std::vector<std::unique_ptr<BackwardBlock>> blocks(rows.size());
  const auto tasks = weight_tasks(shape);
  // all blocks take the same steps at once: the weights' gradients sum over blocks
  const int64_t at_once = steps_at_once(shape.steps, rows[0].count, kBackwardRows);
  int64_t end = shape.steps;
  while (end > 0) {
    const int64_t start = std::max<int64_t>(0, end - at_once);
    parallel(rows.size(), [&](int number) {
      const LSTMWeights& own = weights[rows[number].direction];
      auto& work = blocks[number];
      if (!work) work = std::make_unique<BackwardBlock>(shape, own, rows[number]);
      run_backward(shape, own, work.get(), start, end, inputs, hidden, cell, outputs, trace,
                   outputs_gradient, inputs_gradient, hidden_gradient, cell_gradient);
    });
    const float beta = end == shape.steps ? 0.0f : 1.0f;
    parallel(tasks.size(), [&](int number) {
      const WeightTask& task = tasks[number];
      add_weight_gradient(shape, task, blocks, end - start, beta,
                          weight_gradients[task.direction]);
    });
    end = start;
  }
  for (int64_t direction = 0; direction < shape.directions; ++direction) {
    float* total = weight_gradients[direction].bias;
    std::fill_n(total, 4 * shape.cell, 0.0f);
    for (const auto& work : blocks) {
      if (work->block.direction != direction) continue;
      for (int64_t j = 0; j < 4 * shape.cell; ++j) total[j] += work->bias_gradient[j];
    }
  }
}

}  // namespace bilm
