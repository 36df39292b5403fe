"""The operators of the network and of training: native or made of Paddle's, chosen at each call.

`bilm.kernels.native` and `bilm.kernels.with_paddle` hold the two ways. See `bilm.kernels` for
which of them is taken.
"""

from types import ModuleType
from typing import Optional, Sequence, Tuple

import paddle

from bilm.kernels import native, with_paddle
from bilm.kernels.arguments import Candidates, LSTMWeights
from bilm.kernels.loading import is_native


def _chosen() -> ModuleType:
    return native if is_native() else with_paddle


def chosen_name() -> str:
    """Return "native" or "Paddle's", of the operators that compute here and now."""
    return "native" if is_native() else "Paddle's"


def projected_lstm(
    weights: Sequence[LSTMWeights],
    inputs: paddle.Tensor,
    hidden: paddle.Tensor,
    cell: paddle.Tensor,
    lengths: Optional[paddle.Tensor] = None,
    cell_clip: float = 0.0,
    projection_clip: float = 0.0,
) -> Tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """Run a layer of projected LSTM in one direction or in two that know nothing of each other.

    The equations stand at `bilm.network.lstm.ProjectedLSTM`.

    Args:
        weights: Those of each direction.
        inputs: Shape (directions, batch, steps, input), in the order in which each reads.
        hidden: Before the first step, shape (directions, batch, projection).
        cell: Before the first step, shape (directions, batch, cell).
        lengths: Steps of each row, shape (batch,); None: all rows are full.
        cell_clip: 0 means no clip.
        projection_clip: 0 means no clip.

    Returns:
        Outputs (directions, batch, steps, projection), not defined beyond a row's length; hidden
        and cell after the last step of each row.
    """
    return _chosen().projected_lstm(
        weights, inputs, hidden, cell, lengths, cell_clip, projection_clip
    )


def projected_lstm_over_text(
    weights: Sequence[LSTMWeights],
    inputs: paddle.Tensor,
    hidden: paddle.Tensor,
    cell: paddle.Tensor,
    lengths: Optional[paddle.Tensor] = None,
    cell_clip: float = 0.0,
    projection_clip: float = 0.0,
) -> Tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """Run a layer of projected LSTM over text, the second direction from the end of each row.

    Args:
        weights: Those of each direction, one or two.
        inputs: Shape (batch, steps, directions, input), in the order of the text.
        hidden: Before the first step, shape (directions, batch, projection).
        cell: Before the first step, shape (directions, batch, cell).
        lengths: Steps of each row, shape (batch,); None: all rows are full.
        cell_clip: 0 means no clip.
        projection_clip: 0 means no clip.

    Returns:
        Outputs (batch, steps, directions, projection) in the order of the text, not defined
        beyond a row's length; hidden and cell after the last step that a direction reads.
    """
    return _chosen().projected_lstm_over_text(
        weights, inputs, hidden, cell, lengths, cell_clip, projection_clip
    )


def softmax_nats(
    hidden: paddle.Tensor,
    targets: paddle.Tensor,
    weight: paddle.Tensor,
    bias: paddle.Tensor,
    max_logits: int = 0,
) -> paddle.Tensor:
    """Return the cross entropy of each token in nats, shape (tokens,), without a gradient.

    Args:
        hidden: Shape (tokens, projection), float32.
        targets: Shape (tokens,), int64, each from 0 on and below the number of classes.
        weight: Shape (classes, projection), float32.
        bias: Shape (classes,), float32.
        max_logits: Logits that may exist at once, but at least those of one token; 0: as many as
            suit the operators.
    """
    return _chosen().softmax_nats(hidden, targets, weight, bias, max_logits)


def softmax_loss(
    hidden: paddle.Tensor,
    targets: paddle.Tensor,
    weight: paddle.Tensor,
    bias: paddle.Tensor,
    token_weights: paddle.Tensor,
    max_logits: int = 0,
) -> paddle.Tensor:
    """Return the sum of token_weights * nats, a scalar with a gradient.

    Args:
        hidden: Shape (tokens, projection), float32.
        targets: Shape (tokens,), int64, each from 0 on and below the number of classes.
        weight: Shape (classes, projection), float32.
        bias: Shape (classes,), float32.
        token_weights: Shape (tokens,), float32, constant; 0 leaves a token out.
        max_logits: Logits that may exist at once, but at least those of one token; 0: as many as
            suit the operators.
    """
    return _chosen().softmax_loss(hidden, targets, weight, bias, token_weights, max_logits)


def sampled_softmax_loss(
    hidden: paddle.Tensor,
    targets: paddle.Tensor,
    weight: paddle.Tensor,
    bias: paddle.Tensor,
    candidates: Candidates,
    token_weights: paddle.Tensor,
    sparse: bool = False,
) -> paddle.Tensor:
    """Return sum_t token_weights_t * nats_t, estimated from a sample of the vocabulary.

        s_k = h_t . W_k + b_k - log(expected count of k)
        nats_t = log(sum of exp(s_k) over the candidates and the target) - s_target

    A candidate that is a token's target counts once (accidental hits are removed). Only
    the rows of candidates and targets are read. The value is not a perplexity's: it is
    far below the full softmax's, whose gradient it approximates.

    Source: Jean et al. 2015, "On Using Very Large Target Vocabulary for Neural Machine
    Translation", section 3.

    Args:
        hidden: Shape (tokens, projection).
        targets: Shape (tokens,), int64.
        weight: Shape (vocabulary, projection).
        bias: Shape (vocabulary,).
        candidates: Drawn for these targets.
        token_weights: Shape (tokens,), constant; 0 leaves a token out.
        sparse: Whether the weight's gradient holds the touched rows only (SelectedRows).

    Returns:
        A scalar with a gradient.
    """
    return _chosen().sampled_softmax_loss(
        hidden, targets, weight, bias, candidates, token_weights, sparse
    )


def dropout(values: paddle.Tensor, rate: float) -> paddle.Tensor:
    """Return values / (1 - rate), with each place 0 with probability `rate`.

    The places depend on Paddle's random state. A static program gets Paddle's operator, which can
    be switched off in a copy of the program.
    """
    if not paddle.in_dynamic_mode():
        return with_paddle.dropout(values, rate)
    return _chosen().dropout(values, rate)


def sum_of_squares(values: paddle.Tensor) -> paddle.Tensor:
    """Return the sum of the squares of a tensor's values, float64, shape (1,)."""
    return _chosen().sum_of_squares(values)


def adagrad(
    parameter: paddle.Tensor,
    moment: paddle.Tensor,
    gradient: paddle.Tensor,
    factor: paddle.Tensor,
    rate: float,
    epsilon: float,
) -> None:
    """Update a parameter and its moment in place; under `paddle.no_grad()`.

        g = factor * gradient;  moment += g^2;  parameter -= rate * g / (sqrt(moment) + epsilon)

    Args:
        parameter: float32, any shape.
        moment: In its shape.
        gradient: In its shape, or of single rows (SelectedRows), each of them once; it may change.
        factor: A scalar.
        rate: The learning rate.
        epsilon: 0 in LARK, where moments start above 0.
    """
    chosen = with_paddle if gradient.is_selected_rows() else _chosen()
    chosen.adagrad(parameter, moment, gradient, factor, rate, epsilon)
