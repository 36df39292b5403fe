"""One layer of projected LSTM over a whole sequence, in one direction or in both side by side.

The only place that knows how the recurrence is computed: with the native operator, or with
Paddle's own operators, one step after the other.
"""

from typing import Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional as F

from bilm.kernels import loading as kernels


class LSTMState(NamedTuple):
    """What a recurrence carries from one window of text to the next.

    Attributes:
        hidden: Projected outputs, shape (..., batch, projection).
        cell: Cells, shape (..., batch, cell).
    """

    hidden: paddle.Tensor
    cell: paddle.Tensor


class ProjectedLSTM(nn.Layer):
    """An LSTM whose output is projected, with clips on the cell and on the projection.

        c~, i, f, o = tanh, sig, sig, sig of split(x_t W_in + h_{t-1} W_rec + b)
        c_t = clip(f * c_{t-1} + i * c~, +-cell_clip)
        h_t = clip((o * tanh(c_t)) W_proj, +-projection_clip)

    No peepholes and no projection bias. No gradient flows through a clipped value.

    Source: Sak et al. 2014, "Long Short-Term Memory Recurrent Neural Network
    Architectures for Large Scale Acoustic Modeling"; order of the gate blocks (c, i, f, o),
    whole storage of the forget bias and gradients at the clips as fluid's dynamic_lstmp.

    Args:
        input_size: Features of the input.
        projection_size: Features of the output.
        cell_size: Features of the cell.
        cell_clip: 0 means no clip.
        projection_clip: 0 means no clip.
        forget_bias: Initial value of the forget gate's bias.
        attrs: `paddle.ParamAttr` for parameters that need one, by their names here.
    """

    def __init__(
        self,
        input_size: int,
        projection_size: int,
        cell_size: int,
        cell_clip: float = 0.0,
        projection_clip: float = 0.0,
        forget_bias: float = 1.0,
        attrs: Optional[Mapping[str, paddle.ParamAttr]] = None,
    ):
        super().__init__()
        self.projection_size = projection_size
        self.cell_size = cell_size
        self.cell_clip = cell_clip
        self.projection_clip = projection_clip
        bias = np.zeros(4 * cell_size, np.float32)  # blocks: c, i, f, o
        bias[2 * cell_size : 3 * cell_size] = forget_bias
        attrs = attrs or {}
        for name, shape in (
            ("input_weight", [input_size, 4 * cell_size]),
            ("recurrent_weight", [projection_size, 4 * cell_size]),
            ("bias", [4 * cell_size]),
            ("projection_weight", [cell_size, projection_size]),
        ):
            initializer = nn.initializer.Assign(bias) if name == "bias" else None
            parameter = self.create_parameter(
                shape,
                attr=attrs.get(name),
                is_bias=name == "bias",
                default_initializer=initializer,
            )
            setattr(self, name, parameter)

    def forward(
        self, inputs: paddle.Tensor, state: LSTMState, lengths: Optional[paddle.Tensor] = None
    ) -> Tuple[paddle.Tensor, LSTMState]:
        """Return the outputs of all steps and the state after the last one.

        Args:
            inputs: Shape (batch, steps, input).
            state: hidden (batch, projection) and cell (batch, cell) before the first step.
            lengths: Steps of each row, shape (batch,). The state stays as it was after a
                row's last step; outputs beyond it are not defined. None: all rows are full.

        Returns:
            Outputs (batch, steps, projection), and the state in the shapes it came in.
        """
        state = LSTMState(*(values.unsqueeze(0) for values in state))
        outputs, state = run_side_by_side([self], inputs.unsqueeze(0), state, lengths)
        return outputs.squeeze(0), LSTMState(*(values.squeeze(0) for values in state))


def run_side_by_side(
    layers: Sequence[ProjectedLSTM],
    inputs: paddle.Tensor,
    state: LSTMState,
    lengths: Optional[paddle.Tensor] = None,
    in_text_order: bool = False,
) -> Tuple[paddle.Tensor, LSTMState]:
    """Return the outputs and the last states of layers of one size that read inputs of their own.

    Args:
        layers: One for each direction, one or two.
        inputs: Shape (directions, batch, steps, input), in the order in which each reads.
        state: hidden (directions, batch, projection) and cell (directions, batch, cell).
        lengths: As `ProjectedLSTM.forward` takes them, for all directions.
        in_text_order: Whether inputs and outputs have the axes (batch, steps, directions,
            features) instead, and the second layer reads from the end of each row.

    Returns:
        Outputs (directions, batch, steps, projection), and the state in the shapes it came in.
    """
    if kernels.is_native():
        names = ("input_weight", "recurrent_weight", "bias", "projection_weight")
        weights = [getattr(layer, name) for layer in layers for name in names]
        lengths = None if lengths is None else lengths.astype("int64")
        clips = layers[0].cell_clip, layers[0].projection_clip
        outputs, *state = kernels.projected_lstm(
            inputs, *state, lengths, weights, *clips, in_text_order
        )
        return outputs, LSTMState(*state)
    axis = 2 if in_text_order else 0
    inputs = _turn_second(paddle.unstack(inputs, axis), lengths, in_text_order)
    states = zip(*(paddle.unstack(values) for values in state))
    found = [
        _run_steps(layer, values, *before, lengths)
        for layer, values, before in zip(layers, inputs, states)
    ]
    outputs, *state = zip(*found)
    outputs = paddle.stack(_turn_second(outputs, lengths, in_text_order), axis)
    return outputs, LSTMState(*(paddle.stack(parts) for parts in state))


def _turn_second(values, lengths, in_text_order):
    """Return what the first and the second direction read or wrote, the second's rows turned."""
    if not in_text_order:
        return values
    return [values[0], *(reverse_rows(second, lengths) for second in values[1:])]


def reverse_rows(values: paddle.Tensor, lengths: Optional[paddle.Tensor] = None) -> paddle.Tensor:
    """Return `values` with the first `lengths[b]` steps of each row b in reverse order.

    Steps beyond a row's length stay where they are; reversing twice gives the input.

    Args:
        values: Shape (batch, steps) or (batch, steps, features).
        lengths: Shape (batch,); None means that all rows are full.
    """
    if lengths is None:
        return paddle.flip(values, axis=[1])
    steps = paddle.arange(paddle.shape(values)[1], dtype="int64").unsqueeze(0)  # (1, steps)
    lengths = lengths.astype("int64").unsqueeze(1)  # (batch, 1)
    source = paddle.where(steps < lengths, lengths - 1 - steps, steps.expand_as(lengths - steps))
    if len(values.shape) == 3:
        source = source.unsqueeze(-1).expand_as(values)
    return paddle.take_along_axis(values, source, axis=1)


def _run_steps(layer, inputs, hidden, cell, lengths):
    """Compute `ProjectedLSTM.forward` with Paddle's operators; return outputs, hidden and cell."""
    state = LSTMState(hidden, cell)
    # (batch, steps, input) @ (input, 4 * cell): the input's part of all gates at once
    gate_inputs = paddle.matmul(inputs, layer.input_weight) + layer.bias
    if gate_inputs.shape[1] is None or gate_inputs.shape[1] < 0:
        return _run_unknown_steps(layer, gate_inputs, state, lengths)
    outputs = []
    for step, step_gates in enumerate(paddle.unstack(gate_inputs, axis=1)):
        new_state = _step(layer, step_gates, state)
        outputs.append(new_state.hidden)
        if lengths is not None:
            running = (lengths > step).unsqueeze(-1)
            new_state = LSTMState(
                *(paddle.where(running, new, old) for new, old in zip(new_state, state))
            )
        state = new_state
    return (paddle.stack(outputs, axis=1), *state)


def _step(layer, step_gates, state):
    # step_gates, gates (batch, 4 * cell), before their nonlinearities; blocks c, i, f, o
    gates = step_gates + paddle.matmul(state.hidden, layer.recurrent_weight)
    size = layer.cell_size
    candidate = paddle.tanh(gates[:, :size])
    input_gate, forget_gate, output_gate = paddle.split(F.sigmoid(gates[:, size:]), 3, axis=-1)
    cell = _clip(forget_gate * state.cell + input_gate * candidate, layer.cell_clip)
    hidden = paddle.matmul(output_gate * paddle.tanh(cell), layer.projection_weight)
    return LSTMState(_clip(hidden, layer.projection_clip), cell)


def _clip(values, limit):
    return paddle.clip(values, -limit, limit) if limit else values


class _StepCell(nn.RNNCellBase):
    def __init__(self, layer):
        super().__init__()
        object.__setattr__(self, "_layer", layer)  # not a sublayer: its owner registers it

    def forward(self, inputs, states):
        layer = self._layer
        # Tensors read inside a loop have lost their sizes in Paddle 3.
        state = LSTMState(
            states[0].reshape([-1, layer.projection_size]), states[1].reshape([-1, layer.cell_size])
        )
        state = _step(layer, inputs, state)
        return state.hidden, tuple(state)


def _run_unknown_steps(layer, gate_inputs, state, lengths):
    # A static program whose number of steps is known only when it runs needs a while loop.
    outputs, states = nn.RNN(_StepCell(layer))(gate_inputs, tuple(state), lengths)
    return (outputs, *states)
