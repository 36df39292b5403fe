// The projected LSTM of bilm/lstm.py over a whole sequence, forward and backward, for one or two
// directions that know nothing of each other.
#pragma once

#include <cstdint>
#include <vector>

namespace bilm {

// The sizes, and what all calls have in common.
struct LSTMShape {
  int64_t directions, batch, steps, input, projection, cell;
  float cell_clip, projection_clip;  // 0: no clip
  const int64_t* lengths;            // (batch), steps of each row; null: all rows are full
  bool in_text_order;                // see below
};

// Of one direction: (input, 4 cell), (projection, 4 cell), (4 cell), (cell, projection); the
// gates stand in the order candidate, input, forget, output.
struct LSTMWeights {
  const float *input_weight, *recurrent_weight, *bias, *projection_weight;
};

struct LSTMWeightGradients {
  float *input_weight, *recurrent_weight, *bias, *projection_weight;
};

// What the backward pass needs to know of the forward pass: the gates after their nonlinearities
// (directions, steps, batch, 4 cell), and the cells (directions, steps, batch, cell).
struct LSTMTrace {
  float *gates, *cells;
};

// inputs (directions, batch, steps, input), states (directions, batch, projection or cell),
// outputs (directions, batch, steps, projection). Each direction reads its inputs from the first
// step to the last. In text order, inputs and outputs are (batch, steps, directions, features),
// and the second direction reads from the end of each row to its beginning.
//
// Outputs beyond a row's length are 0; its last state is that after its length. No gates and cells
// are written where `trace` has null pointers.
void projected_lstm_forward(const LSTMShape& shape, const std::vector<LSTMWeights>& weights,
                            const float* inputs, const float* hidden, const float* cell,
                            float* outputs, float* last_hidden, float* last_cell,
                            const LSTMTrace& trace);

// The gradients of all arguments, from those of the outputs and the last states, of which null
// ones are zero. No gradient flows through a value at or beyond its clip.
void projected_lstm_backward(const LSTMShape& shape, const std::vector<LSTMWeights>& weights,
                             const float* inputs, const float* hidden, const float* cell,
                             const float* outputs, const LSTMTrace& trace,
                             const float* outputs_gradient, const float* last_hidden_gradient,
                             const float* last_cell_gradient, float* inputs_gradient,
                             float* hidden_gradient, float* cell_gradient,
                             const std::vector<LSTMWeightGradients>& weight_gradients);

}  // namespace bilm
