"""Bidirectional GRU layers: Paddle's own, and fluid's."""

from typing import Tuple

import paddle
from paddle import nn
from paddle.nn import functional as F

from lac.network.bidirectional import Bidirectional


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
        return Bidirectional(lambda: ResetBeforeCell(input_size, hidden_size))
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
