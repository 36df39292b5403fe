// Paddle operators around core/: they check what they get and allocate what they give.
#include <algorithm>
#include <cstdint>
#include <new>
#include <vector>

#include "core/adagrad.h"
#include "core/dropout.h"
#include "core/projected_lstm.h"
#include "core/softmax.h"
#include "paddle/extension.h"

namespace {

using paddle::Tensor;
using Shape = std::vector<int64_t>;
using OptionalTensor = paddle::optional<Tensor>;
using OptionalShape = paddle::optional<Shape>;

// Paddle ends the process for a std::bad_alloc; its own exceptions reach Python.
template <typename Function>
void run(Function function) {
  try {
    function();
  } catch (const std::bad_alloc&) {
    PD_THROW("out of memory: the native operators' work space cannot be had");
  }
}

Tensor empty(const Shape& shape, paddle::DataType type = paddle::DataType::FLOAT32) {
  return paddle::empty(shape, type, paddle::CPUPlace());
}

void check(const Tensor& tensor, const char* name, const Shape& shape) {
  PD_CHECK(tensor.is_cpu(), name, " is not on the CPU");
  PD_CHECK(tensor.shape() == shape, name, " has another shape than the other arguments ask for");
}

// `tensor` holds int64.
void check_range(const Tensor& tensor, const char* name, int64_t low, int64_t high) {
  const int64_t* values = tensor.data<int64_t>();
  PD_CHECK(std::all_of(values, values + tensor.numel(),
                       [=](int64_t value) { return low <= value && value <= high; }),
           name, " must be from ", low, " to ", high);
}

// Null for the gradient of an output that nothing was computed from.
const float* data_or_null(const Tensor& gradient) {
  return gradient.initialized() ? gradient.data<float>() : nullptr;
}

// ---- the projected LSTM --------------------------------------------------------------------

struct LSTMArguments {
  bilm::LSTMShape shape;
  std::vector<bilm::LSTMWeights> weights;
};

// `weights` holds four tensors for each direction.
LSTMArguments lstm_arguments(const Tensor& inputs, const Tensor& hidden, const Tensor& cell,
                             const OptionalTensor& lengths, const std::vector<Tensor>& weights,
                             float cell_clip, float projection_clip, bool in_text_order) {
  PD_CHECK(inputs.shape().size() == 4, "inputs must have four axes");
  const int64_t directions = weights.size() / 4, features = inputs.shape()[3];
  const int64_t batch = inputs.shape()[in_text_order ? 0 : 1];
  const int64_t steps = inputs.shape()[in_text_order ? 1 : 2];
  PD_CHECK(hidden.shape().size() == 3 && cell.shape().size() == 3, "states must have three axes");
  const int64_t P = hidden.shape()[2], C = cell.shape()[2];
  check(inputs, "inputs", in_text_order ? Shape{batch, steps, directions, features}
                                        : Shape{directions, batch, steps, features});
  check(hidden, "hidden", {directions, batch, P});
  check(cell, "cell", {directions, batch, C});
  if (lengths) {
    check(*lengths, "lengths", {batch});
    check_range(*lengths, "lengths", 0, steps);
  }
  LSTMArguments result{{directions, batch, steps, features, P, C, cell_clip, projection_clip,
                        lengths ? lengths->data<int64_t>() : nullptr, in_text_order},
                       {}};
  for (size_t first = 0; first < weights.size(); first += 4) {
    check(weights[first], "input_weight", {features, 4 * C});
    check(weights[first + 1], "recurrent_weight", {P, 4 * C});
    check(weights[first + 2], "bias", {4 * C});
    check(weights[first + 3], "projection_weight", {C, P});
    result.weights.push_back({weights[first].data<float>(), weights[first + 1].data<float>(),
                              weights[first + 2].data<float>(), weights[first + 3].data<float>()});
  }
  return result;
}

std::vector<Tensor> lstm_forward(const Tensor& inputs, const Tensor& hidden, const Tensor& cell,
                                 const OptionalTensor& lengths, const std::vector<Tensor>& weights,
                                 float cell_clip, float projection_clip, bool in_text_order,
                                 bool has_trace) {
  const LSTMArguments arguments =
      lstm_arguments(inputs, hidden, cell, lengths, weights, cell_clip, projection_clip,
                     in_text_order);
  const bilm::LSTMShape& shape = arguments.shape;
  Shape outputs_shape = inputs.shape();
  outputs_shape[3] = shape.projection;
  Tensor outputs = empty(outputs_shape);
  Tensor last_hidden = empty(hidden.shape()), last_cell = empty(cell.shape());
  Shape trace_shape = {shape.directions, shape.steps, shape.batch, 4 * shape.cell};
  Tensor gates = empty(has_trace ? trace_shape : Shape{1});
  trace_shape[3] = shape.cell;
  Tensor cells = empty(has_trace ? trace_shape : Shape{1});
  bilm::LSTMTrace trace{nullptr, nullptr};
  if (has_trace) trace = {gates.data<float>(), cells.data<float>()};
  const bilm::LSTMForwardArrays arrays{
      inputs.data<float>(), hidden.data<float>(), cell.data<float>(), outputs.data<float>(),
      last_hidden.data<float>(), last_cell.data<float>(), trace};
  run([&] { bilm::projected_lstm_forward(shape, arguments.weights, arrays); });
  return {outputs, last_hidden, last_cell, gates, cells};
}

std::vector<Tensor> lstm_backward(const Tensor& inputs, const Tensor& hidden, const Tensor& cell,
                                  const OptionalTensor& lengths, const std::vector<Tensor>& weights,
                                  const Tensor& outputs, const Tensor& gates, const Tensor& cells,
                                  const Tensor& outputs_gradient,
                                  const Tensor& last_hidden_gradient,
                                  const Tensor& last_cell_gradient, float cell_clip,
                                  float projection_clip, bool in_text_order, bool has_trace) {
  PD_CHECK(has_trace, "the forward pass was computed without a trace, so it has no gradient");
  const LSTMArguments arguments =
      lstm_arguments(inputs, hidden, cell, lengths, weights, cell_clip, projection_clip,
                     in_text_order);
  std::vector<Tensor> gradients = {empty(inputs.shape()), empty(hidden.shape()),
                                   empty(cell.shape())};
  std::vector<bilm::LSTMWeightGradients> weight_gradients;
  for (const Tensor& weight : weights) gradients.push_back(empty(weight.shape()));
  for (size_t first = 3; first < gradients.size(); first += 4) {
    weight_gradients.push_back({gradients[first].data<float>(), gradients[first + 1].data<float>(),
                                gradients[first + 2].data<float>(),
                                gradients[first + 3].data<float>()});
  }
  // the trace is read only; Tensor has no other access to a mutable pointer's type
  const bilm::LSTMTrace trace{const_cast<float*>(gates.data<float>()),
                              const_cast<float*>(cells.data<float>())};
  const bilm::LSTMBackwardArrays arrays{
      inputs.data<float>(), hidden.data<float>(), cell.data<float>(), outputs.data<float>(), trace,
      data_or_null(outputs_gradient), data_or_null(last_hidden_gradient),
      data_or_null(last_cell_gradient), gradients[0].data<float>(), gradients[1].data<float>(),
      gradients[2].data<float>()};
  run([&] {
    bilm::projected_lstm_backward(arguments.shape, arguments.weights, arrays, weight_gradients);
  });
  return gradients;
}

std::vector<Shape> lstm_shapes(const Shape& inputs, const Shape& hidden, const Shape& cell,
                               bool in_text_order, bool has_trace) {
  const Shape outputs = {inputs[0], inputs[1], inputs[2], hidden[2]};
  if (!has_trace) return {outputs, hidden, cell, {1}, {1}};
  const int64_t steps = inputs[in_text_order ? 1 : 2];
  const Shape gates = {hidden[0], steps, hidden[1], 4 * cell[2]};
  return {outputs, hidden, cell, gates, {hidden[0], steps, hidden[1], cell[2]}};
}

// Paddle gives operators a fixed number of outputs, so there is one for each number of
// directions; they differ in nothing but their arguments.

#define WEIGHT_ARGUMENTS(type, n) \
  const type &input_weight_##n, const type &recurrent_weight_##n, const type &bias_##n, \
      const type &projection_weight_##n
#define WEIGHTS(n) input_weight_##n, recurrent_weight_##n, bias_##n, projection_weight_##n

std::vector<Tensor> one_forward(const Tensor& inputs, const Tensor& hidden, const Tensor& cell,
                                const OptionalTensor& lengths, WEIGHT_ARGUMENTS(Tensor, 0),
                                float cell_clip, float projection_clip, bool in_text_order,
                                bool has_trace) {
  return lstm_forward(inputs, hidden, cell, lengths, {WEIGHTS(0)}, cell_clip, projection_clip,
                      in_text_order, has_trace);
}

std::vector<Tensor> two_forward(const Tensor& inputs, const Tensor& hidden, const Tensor& cell,
                                const OptionalTensor& lengths, WEIGHT_ARGUMENTS(Tensor, 0),
                                WEIGHT_ARGUMENTS(Tensor, 1), float cell_clip,
                                float projection_clip, bool in_text_order, bool has_trace) {
  return lstm_forward(inputs, hidden, cell, lengths, {WEIGHTS(0), WEIGHTS(1)}, cell_clip,
                      projection_clip, in_text_order, has_trace);
}

std::vector<Tensor> one_backward(const Tensor& inputs, const Tensor& hidden, const Tensor& cell,
                                 const OptionalTensor& lengths, WEIGHT_ARGUMENTS(Tensor, 0),
                                 const Tensor& outputs, const Tensor& gates, const Tensor& cells,
                                 const Tensor& outputs_gradient,
                                 const Tensor& last_hidden_gradient,
                                 const Tensor& last_cell_gradient, float cell_clip,
                                 float projection_clip, bool in_text_order, bool has_trace) {
  return lstm_backward(inputs, hidden, cell, lengths, {WEIGHTS(0)}, outputs, gates, cells,
                       outputs_gradient, last_hidden_gradient, last_cell_gradient, cell_clip,
                       projection_clip, in_text_order, has_trace);
}

std::vector<Tensor> two_backward(const Tensor& inputs, const Tensor& hidden, const Tensor& cell,
                                 const OptionalTensor& lengths, WEIGHT_ARGUMENTS(Tensor, 0),
                                 WEIGHT_ARGUMENTS(Tensor, 1), const Tensor& outputs,
                                 const Tensor& gates, const Tensor& cells,
                                 const Tensor& outputs_gradient,
                                 const Tensor& last_hidden_gradient,
                                 const Tensor& last_cell_gradient, float cell_clip,
                                 float projection_clip, bool in_text_order, bool has_trace) {
  return lstm_backward(inputs, hidden, cell, lengths, {WEIGHTS(0), WEIGHTS(1)}, outputs, gates,
                       cells, outputs_gradient, last_hidden_gradient, last_cell_gradient,
                       cell_clip, projection_clip, in_text_order, has_trace);
}

std::vector<Shape> one_shapes(const Shape& inputs, const Shape& hidden, const Shape& cell,
                              const OptionalShape&, WEIGHT_ARGUMENTS(Shape, 0), float, float,
                              bool in_text_order, bool has_trace) {
  return lstm_shapes(inputs, hidden, cell, in_text_order, has_trace);
}

std::vector<Shape> two_shapes(const Shape& inputs, const Shape& hidden, const Shape& cell,
                              const OptionalShape&, WEIGHT_ARGUMENTS(Shape, 0),
                              WEIGHT_ARGUMENTS(Shape, 1), float, float, bool in_text_order,
                              bool has_trace) {
  return lstm_shapes(inputs, hidden, cell, in_text_order, has_trace);
}

std::vector<paddle::DataType> lstm_types() {
  return std::vector<paddle::DataType>(5, paddle::DataType::FLOAT32);
}

std::vector<paddle::DataType> one_types(paddle::DataType, paddle::DataType, paddle::DataType,
                                        const paddle::optional<paddle::DataType>&,
                                        WEIGHT_ARGUMENTS(paddle::DataType, 0)) {
  return lstm_types();
}

std::vector<paddle::DataType> two_types(paddle::DataType, paddle::DataType, paddle::DataType,
                                        const paddle::optional<paddle::DataType>&,
                                        WEIGHT_ARGUMENTS(paddle::DataType, 0),
                                        WEIGHT_ARGUMENTS(paddle::DataType, 1)) {
  return lstm_types();
}

// ---- the softmax ---------------------------------------------------------------------------

bilm::SoftmaxInput softmax_input(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                                 const Tensor& targets, int64_t lowest_target) {
  PD_CHECK(hidden.shape().size() == 2 && weight.shape().size() == 2,
           "hidden and weight must have two axes");
  const int64_t tokens = hidden.shape()[0], features = hidden.shape()[1];
  const int64_t classes = weight.shape()[0];
  PD_CHECK(classes > 0, "there must be a class");
  check(hidden, "hidden", {tokens, features});
  check(weight, "weight", {classes, features});
  check(bias, "bias", {classes});
  check(targets, "targets", {tokens});
  check_range(targets, "targets", lowest_target, classes - 1);
  return {tokens, classes, features, hidden.data<float>(), weight.data<float>(),
          bias.data<float>(), nullptr, targets.data<int64_t>()};
}

std::vector<Tensor> softmax_nats(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                                 const Tensor& targets) {
  Tensor nats = empty({hidden.shape()[0]});
  const bilm::SoftmaxInput input = softmax_input(hidden, weight, bias, targets, 0);
  run([&] {
    bilm::softmax_cross_entropy(input, nullptr, int64_t{1} << 40, nats.data<float>(), {});
  });
  return {nats};
}

std::vector<Tensor> softmax_gradients(const Tensor& hidden, const Tensor& weight,
                                      const Tensor& bias, const Tensor& targets,
                                      const Tensor& token_weights, const OptionalTensor& extra,
                                      int64_t max_logits) {
  bilm::SoftmaxInput input = softmax_input(hidden, weight, bias, targets, extra ? -1 : 0);
  check(token_weights, "token_weights", {input.tokens});
  if (extra) {
    check(*extra, "extra", {input.tokens});
    input.extra = extra->data<float>();
  }
  std::vector<Tensor> outputs = {empty({input.tokens}), empty(hidden.shape()),
                                 empty(weight.shape()), empty(bias.shape()),
                                 // Paddle 2.6 takes no empty output
                                 empty({extra ? input.tokens : 1})};
  const bilm::SoftmaxGradients gradients{outputs[1].data<float>(), outputs[2].data<float>(),
                                         outputs[3].data<float>(),
                                         extra ? outputs[4].data<float>() : nullptr};
  run([&] {
    bilm::softmax_cross_entropy(input, token_weights.data<float>(), max_logits,
                                outputs[0].data<float>(), gradients);
  });
  return outputs;
}

// ---- dropout -------------------------------------------------------------------------------

std::vector<Tensor> dropout(const Tensor& values, float rate, int64_t seed) {
  check(values, "values", values.shape());
  Tensor dropped = empty(values.shape());
  run([&] {
    bilm::dropout(values.numel(), values.data<float>(), rate, seed, dropped.data<float>());
  });
  return {dropped};
}

// ---- the optimiser -------------------------------------------------------------------------

std::vector<Tensor> sum_of_squares(const Tensor& values) {
  check(values, "values", values.shape());
  Tensor total = empty({1}, paddle::DataType::FLOAT64);
  run([&] {
    *total.data<double>() = bilm::sum_of_squares(values.data<float>(), values.numel());
  });
  return {total};
}

// In place: `parameter` and `moment` are the outputs.
void adagrad(Tensor& parameter, Tensor& moment, const Tensor& gradient, float scale, float rate,
             float epsilon) {
  check(parameter, "parameter", parameter.shape());
  check(moment, "moment", parameter.shape());
  check(gradient, "gradient", parameter.shape());
  run([&] {
    bilm::adagrad(parameter.numel(), gradient.data<float>(), scale, rate, epsilon,
                  parameter.data<float>(), moment.data<float>());
  });
}

}  // namespace

#define WEIGHT_NAMES(n) \
  "InputWeight" #n, "RecurrentWeight" #n, "Bias" #n, "ProjectionWeight" #n
#define WEIGHT_GRADIENTS(n)                                                      \
  paddle::Grad("InputWeight" #n), paddle::Grad("RecurrentWeight" #n),            \
      paddle::Grad("Bias" #n), paddle::Grad("ProjectionWeight" #n)
#define LSTM_INPUTS "Inputs", "Hidden", "Cell", paddle::Optional("Lengths")
#define LSTM_ATTRIBUTES \
  {"cell_clip: float", "projection_clip: float", "in_text_order: bool", "has_trace: bool"}
#define LSTM_SAVED "Outputs", "Gates", "Cells"
#define LSTM_UPSTREAM \
  paddle::Grad("Outputs"), paddle::Grad("LastHidden"), paddle::Grad("LastCell")
#define LSTM_GRADIENTS paddle::Grad("Inputs"), paddle::Grad("Hidden"), paddle::Grad("Cell")

PD_BUILD_OP(bilm_projected_lstm)
    .Inputs({LSTM_INPUTS, WEIGHT_NAMES(0)})
    .Outputs({"Outputs", "LastHidden", "LastCell", "Gates", "Cells"})
    .Attrs(LSTM_ATTRIBUTES)
    .SetKernelFn(PD_KERNEL(one_forward))
    .SetInferShapeFn(PD_INFER_SHAPE(one_shapes))
    .SetInferDtypeFn(PD_INFER_DTYPE(one_types));

PD_BUILD_GRAD_OP(bilm_projected_lstm)
    .Inputs({LSTM_INPUTS, WEIGHT_NAMES(0), LSTM_SAVED, LSTM_UPSTREAM})
    .Outputs({LSTM_GRADIENTS, WEIGHT_GRADIENTS(0)})
    .Attrs(LSTM_ATTRIBUTES)
    .SetKernelFn(PD_KERNEL(one_backward));

PD_BUILD_OP(bilm_projected_lstm_pair)
    .Inputs({LSTM_INPUTS, WEIGHT_NAMES(0), WEIGHT_NAMES(1)})
    .Outputs({"Outputs", "LastHidden", "LastCell", "Gates", "Cells"})
    .Attrs(LSTM_ATTRIBUTES)
    .SetKernelFn(PD_KERNEL(two_forward))
    .SetInferShapeFn(PD_INFER_SHAPE(two_shapes))
    .SetInferDtypeFn(PD_INFER_DTYPE(two_types));

PD_BUILD_GRAD_OP(bilm_projected_lstm_pair)
    .Inputs({LSTM_INPUTS, WEIGHT_NAMES(0), WEIGHT_NAMES(1), LSTM_SAVED, LSTM_UPSTREAM})
    .Outputs({LSTM_GRADIENTS, WEIGHT_GRADIENTS(0), WEIGHT_GRADIENTS(1)})
    .Attrs(LSTM_ATTRIBUTES)
    .SetKernelFn(PD_KERNEL(two_backward));

// Dynamic mode only: no shapes are inferred beforehand.
PD_BUILD_OP(bilm_softmax_nats)
    .Inputs({"Hidden", "Weight", "Bias", "Targets"})
    .Outputs({"Nats"})
    .SetKernelFn(PD_KERNEL(softmax_nats));

PD_BUILD_OP(bilm_softmax_loss)
    .Inputs({"Hidden", "Weight", "Bias", "Targets", "TokenWeights", paddle::Optional("Extra")})
    .Outputs({"Nats", "HiddenGradient", "WeightGradient", "BiasGradient", "ExtraGradient"})
    .Attrs({"max_logits: int64_t"})
    .SetKernelFn(PD_KERNEL(softmax_gradients));

PD_BUILD_OP(bilm_dropout)
    .Inputs({"Values"})
    .Outputs({"Dropped"})
    .Attrs({"rate: float", "seed: int64_t"})
    .SetKernelFn(PD_KERNEL(dropout));

PD_BUILD_GRAD_OP(bilm_dropout)
    .Inputs({paddle::Grad("Dropped")})
    .Outputs({paddle::Grad("Values")})
    .Attrs({"rate: float", "seed: int64_t"})
    .SetKernelFn(PD_KERNEL(dropout));

PD_BUILD_OP(bilm_sum_of_squares)
    .Inputs({"Values"})
    .Outputs({"Total"})
    .SetKernelFn(PD_KERNEL(sum_of_squares));

PD_BUILD_OP(bilm_adagrad)
    .Inputs({"Parameter", "Moment", "Gradient"})
    .Outputs({"ParameterOut", "MomentOut"})
    .Attrs({"scale: float", "rate: float", "epsilon: float"})
    .SetInplaceMap({{"Parameter", "ParameterOut"}, {"Moment", "MomentOut"}})
    .SetKernelFn(PD_KERNEL(adagrad));
