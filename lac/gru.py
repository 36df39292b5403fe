"""Bidirectional GRU layers: Paddle's own, and fluid's."""

from typing import Optional, Tuple

import paddle
from paddle import nn
from paddle.nn import functional as F

from bilm.contextual import mask_of
from bilm.model import reverse_rows


def bidirectional_gru(input_size: int, hidden_size: int, reset_before: bool) -> nn.Layer:
    """Return a layer: (inputs, None, lengths) -> (outputs (batch, steps, 2 * hidden), state).

    Outputs beyond a row's length are zero.

    Args:
        input_size: Features of the inputs (batch, steps, input_size).
        hidden_size: Of each direction.
        reset_before: False: c~ = tanh(x_c + r * (h U_c + b)), as Paddle and cuDNN compute it;
            True: c~ = tanh(x_c + (r * h) U_c), as fluid's dynamic_gru does.
    """
    if reset_before:
        return ResetBeforeBiGRU(input_size, hidden_size)
    return nn.GRU(input_size, hidden_size, direction="bidirect")


class ResetBeforeGRU(nn.Layer):
    """One direction of a GRU that resets the state before its matrix product.

        u, r = sigmoid(x W_ur + h U_ur + b_ur)
        c~ = tanh(x W_c + (r * h) U_c + b_c)
        h' = (1 - u) * h + u * c~

    Source: Cho et al. 2014; fluid's dynamic_gru with origin_mode=False, whose inputs went
    through a fully connected layer first, which is part of this one.

    Args:
        input_size: Features of the inputs.
        hidden_size: Of the state.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
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

    def forward(self, inputs: paddle.Tensor, mask: Optional[paddle.Tensor]) -> paddle.Tensor:
        """Return the states (batch, steps, hidden).

        Args:
            inputs: Shape (batch, steps, input_size).
            mask: 1.0 where there is a token, shape (batch, steps, 1): the state stays as it is
                elsewhere. None: everywhere.
        """
        size = self.candidate_weight.shape[0]
        gates = F.linear(inputs, self.input_weight, self.input_bias + self.bias)
        hidden = paddle.zeros([1, size])
        outputs = []
        for step in range(inputs.shape[1]):
            own, candidate = gates[:, step, : 2 * size], gates[:, step, 2 * size :]
            own = F.sigmoid(own + paddle.matmul(hidden, self.update_reset_weight))
            update, reset = own[:, :size], own[:, size:]
            candidate = candidate + paddle.matmul(reset * hidden, self.candidate_weight)
            if mask is not None:
                update = update * mask[:, step]
            hidden = hidden + update * (paddle.tanh(candidate) - hidden)
            outputs.append(hidden)
        return paddle.stack(outputs, axis=1)


class ResetBeforeBiGRU(nn.Layer):
    """Two directions of `ResetBeforeGRU`, their states joined; see `bidirectional_gru`."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.forward_direction = ResetBeforeGRU(input_size, hidden_size)
        self.backward_direction = ResetBeforeGRU(input_size, hidden_size)

    def forward(
        self,
        inputs: paddle.Tensor,
        initial_states: None = None,
        sequence_length: Optional[paddle.Tensor] = None,
    ) -> Tuple[paddle.Tensor, None]:
        """Return what `bidirectional_gru` says; the state is not given."""
        mask = None
        if sequence_length is not None:
            mask = mask_of(inputs[:, :, 0], sequence_length).unsqueeze(-1)
        backward = self.backward_direction(reverse_rows(inputs, sequence_length), mask)
        outputs = paddle.concat(
            [self.forward_direction(inputs, mask), reverse_rows(backward, sequence_length)],
            axis=-1,
        )
        return (outputs if mask is None else outputs * mask), None
