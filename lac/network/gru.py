"""Bidirectional GRU layers: Paddle's own, and fluid's."""

from typing import Optional, Tuple

import paddle
from paddle import nn
from paddle.nn import functional as F

from bilm.kernels.rows import reverse_rows
from bilm.network.contextual import mask_of


def bidirectional_gru(input_size: int, hidden_size: int, reset_before: bool) -> nn.Layer:
    """Return a layer: (inputs, None, lengths) -> (outputs (batch, steps, 2 * hidden), state).

    Outputs beyond a row's length are zero.

    Args:
        input_size: Number of features of the inputs.
        hidden_size: Number of features of each direction's outputs.
        reset_before: False: c~ = tanh(x_c + r * (h U_c + b)), as Paddle and cuDNN compute it;
            True: c~ = tanh(x_c + (r * h) U_c), as fluid's dynamic_gru does.
    """
    if reset_before:
        return ResetBeforeBiGRU(input_size, hidden_size)
    return nn.GRU(input_size, hidden_size, direction="bidirect")


class ResetBeforeCell(nn.RNNCellBase):
    """One step of a GRU that resets the state before its matrix product.

        u, r = sigmoid(x W_ur + h U_ur + b_ur)
        c~ = tanh(x W_c + (r * h) U_c + b_c)
        h' = (1 - u) * h + u * c~

    Source: Cho et al. 2014; fluid's dynamic_gru with origin_mode=False, whose inputs went
    through a fully connected layer first, which `project` is.

    Args:
        input_size: Number of features of the inputs.
        hidden_size: Number of features of the state.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self._size = hidden_size
        shapes = {
            "input_weight": [input_size, 3 * hidden_size],  # gates u, r, c
            "update_reset_weight": [hidden_size, 2 * hidden_size],
            "candidate_weight": [hidden_size, hidden_size],
        }
        uniform = nn.initializer.Uniform(-0.1, 0.1)
        for name, shape in shapes.items():
            setattr(self, name, self.create_parameter(shape, default_initializer=uniform))
        for name in ("input_bias", "bias"):
            setattr(self, name, self.create_parameter([3 * hidden_size], is_bias=True))

    @property
    def state_shape(self) -> Tuple[int]:
        """Shape of the state without the batch, from which `nn.RNN` makes the initial state."""
        return (self._size,)

    def project(self, inputs: paddle.Tensor) -> paddle.Tensor:
        """Return the input part of the gates (batch, steps, 3 * hidden)."""
        return F.linear(inputs, self.input_weight, self.input_bias + self.bias)

    def forward(
        self, inputs: paddle.Tensor, states: paddle.Tensor
    ) -> Tuple[paddle.Tensor, paddle.Tensor]:
        """Return the new state (batch, hidden), twice, as `paddle.nn.RNN` wants it.

        Args:
            inputs: One step of the result of `project`, shape (batch, 3 * hidden): update, reset
                and candidate.
            states: The previous state, shape (batch, hidden).
        """
        size = self._size
        gates = F.sigmoid(inputs[:, : 2 * size] + paddle.matmul(states, self.update_reset_weight))
        update, reset = gates[:, :size], gates[:, size:]
        product = paddle.matmul(reset * states, self.candidate_weight)
        candidate = paddle.tanh(inputs[:, 2 * size :] + product)
        hidden = states + update * (candidate - states)
        return hidden, hidden


class ResetBeforeBiGRU(nn.Layer):
    """Two directions of `ResetBeforeCell` with joined states; see `bidirectional_gru`.

    Args:
        input_size: Number of features of the inputs.
        hidden_size: Number of features of each direction's state.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.forward_direction = ResetBeforeCell(input_size, hidden_size)
        self.backward_direction = ResetBeforeCell(input_size, hidden_size)

    # Not rewritten by the tracer, because nn.RNN itself loops over an unknown number of steps.
    @paddle.jit.not_to_static
    def forward(
        self,
        inputs: paddle.Tensor,
        initial_states: None = None,
        sequence_length: Optional[paddle.Tensor] = None,
    ) -> Tuple[paddle.Tensor, None]:
        """Return the joined states of both directions, and None in place of the last state.

        Args:
            inputs: Shape (batch, steps, input_size).
            initial_states: None: both directions start from zeros.
            sequence_length: Steps of each row, shape (batch,); None: all rows are full.

        Returns:
            Shape (batch, steps, 2 * hidden), zero beyond a row's length; and None.
        """
        reversed_inputs = reverse_rows(inputs, sequence_length)
        forward, backward = (
            nn.RNN(cell)(cell.project(values))[0]
            for cell, values in (
                (self.forward_direction, inputs), (self.backward_direction, reversed_inputs)
            )
        )
        joined = paddle.concat([forward, reverse_rows(backward, sequence_length)], axis=-1)
        if sequence_length is not None:
            joined = joined * mask_of(inputs[:, :, 0], sequence_length).unsqueeze(-1)
        return joined, None
