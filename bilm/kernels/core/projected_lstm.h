// The projected LSTM of bilm/network/lstm.py over a whole sequence, forward and backward, for one
// or two directions that know nothing of each other.
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

// What a call reads and writes: inputs (directions, batch, steps, input), states (directions,
// batch, projection or cell), outputs (directions, batch, steps, projection). Each direction reads
// its inputs from the first step to the last. In text order, inputs and outputs are (batch, steps,
// directions, features), and the second direction reads from the end of each row to its beginning.
struct LSTMForwardArrays {
  const float *inputs, *hidden, *cell;
  float *outputs, *last_hidden, *last_cell;
  LSTMTrace trace;
};

// The gradients that come in may be null, which means zero.
struct LSTMBackwardArrays {
  const float *inputs, *hidden, *cell, *outputs;
  LSTMTrace trace;
  const float *outputs_gradient, *last_hidden_gradient, *last_cell_gradient;
  float *inputs_gradient, *hidden_gradient, *cell_gradient;
};

// Outputs beyond a row's length are 0; its last state is that after its length. No gates and cells
// are written where the trace has null pointers. There is no recurrent product with a state of
// zeros, so weights that are not finite show from the second step on.
void projected_lstm_forward(const LSTMShape& shape, const std::vector<LSTMWeights>& weights,
                            const LSTMForwardArrays& arrays);

// The gradients of all arguments. None flows through a value at or beyond its clip.
void projected_lstm_backward(const LSTMShape& shape, const std::vector<LSTMWeights>& weights,
                             const LSTMBackwardArrays& arrays,
                             const std::vector<LSTMWeightGradients>& weight_gradients);

}  // namespace bilm
