"""Groups of arguments that operators take."""

from typing import NamedTuple

import numpy as np
import paddle


class LSTMWeights(NamedTuple):
    """The weights of one direction of a projected LSTM layer.

    The blocks of the gates stand in the order candidate, input, forget, output.

    Attributes:
        input_weight: Shape (input, 4 * cell).
        recurrent_weight: Shape (projection, 4 * cell).
        bias: Shape (4 * cell,).
        projection_weight: Shape (cell, projection).
    """

    input_weight: paddle.Tensor
    recurrent_weight: paddle.Tensor
    bias: paddle.Tensor
    projection_weight: paddle.Tensor


class Candidates(NamedTuple):
    """Classes drawn for a sampled softmax.

    Attributes:
        ids: Distinct classes, shape (candidates,), int64, rising.
        expected_counts: For each of them, how often a draw is expected to hold it, which
            without replacement is the probability that it does; shape (candidates,).
        target_expected_counts: The same for the target of each token; shape (tokens,).
        target_places: Where the target of each token stands among ids, -1 if it does not; shape
            (tokens,), int64.
    """

    ids: np.ndarray
    expected_counts: np.ndarray
    target_expected_counts: np.ndarray
    target_places: np.ndarray
