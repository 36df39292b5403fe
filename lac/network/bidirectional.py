"""Two recurrent cells over rows of steps: one from the left, one from each row's own end."""

from typing import Any, Callable, Optional, Tuple

import paddle
from paddle import nn

from bilm.kernels.rows import reverse_rows
from bilm.network.contextual import mask_of


class Bidirectional(nn.Layer):
    """Two directions of one kind of cell, with joined outputs.

    Args:
        make_cell: Returns a cell for `paddle.nn.RNN` that has `project` too, which computes the
            inputs' part of all steps at once.
    """

    def __init__(self, make_cell: Callable[[], Any]):
        super().__init__()
        self.forward_direction = make_cell()
        self.backward_direction = make_cell()

    # Not rewritten by the tracer, because nn.RNN itself loops over an unknown number of steps.
    @paddle.jit.not_to_static
    def forward(
        self,
        inputs: paddle.Tensor,
        initial_states: None = None,
        sequence_length: Optional[paddle.Tensor] = None,
    ) -> Tuple[paddle.Tensor, None]:
        """Return the joined outputs of both directions, and None in place of the last state.

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
