"""Rows of a batch, turned round."""

from typing import Optional

import paddle


def reverse_rows(values: paddle.Tensor, lengths: Optional[paddle.Tensor] = None) -> paddle.Tensor:
    """Return `values` with the first `lengths[b]` steps of each row b in reverse order.

    Steps beyond a row's length stay where they are; reversing twice gives the input.

    Examples:
        >>> reverse_rows(paddle.to_tensor([[3, 4, 5, 0]]), paddle.to_tensor([3])).tolist()
        [[5, 4, 3, 0]]

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
