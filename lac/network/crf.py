"""A linear-chain conditional random field."""

from typing import Optional

import numpy as np
import paddle
from paddle import nn

from bilm.network.contextual import mask_of
from lac.network.viterbi import TransitionScores

_TINY = 1e-37  # of float32: what is smaller has no share in a sum, and its log would be -inf


class LinearChainCRF(nn.Layer):
    """Scores of whole tag sequences.

        score(y | x) = start[y_1] + sum_t emission[t, y_t] + sum_t transitions[y_(t-1), y_t]
                       + stop[y_n]
        p(y | x) = exp(score(y | x)) / sum over y' of exp(score(y' | x))

    Source: Lafferty et al. 2001; start and stop scores as in fluid's linear_chain_crf, whose
    one parameter holds start, stop and transitions, in this order, as rows.

    Args:
        num_tags: Number of tags.
    """

    def __init__(self, num_tags: int):
        super().__init__()
        uniform = nn.initializer.Uniform(-0.1, 0.1)
        shapes = {"start": [num_tags], "stop": [num_tags], "transitions": [num_tags, num_tags]}
        for name, shape in shapes.items():
            setattr(self, name, self.create_parameter(shape, default_initializer=uniform))

    def forward(
        self, emissions: paddle.Tensor, tags: paddle.Tensor, lengths: paddle.Tensor
    ) -> paddle.Tensor:
        """Return the negative log-likelihood of each row's tags in nats, shape (batch,).

        Args:
            emissions: Shape (batch, steps, tags).
            tags: int64, shape (batch, steps); what stands beyond a row's length does not count.
            lengths: int64, shape (batch,), each at least 1.
        """
        return self.log_partition(emissions, lengths) - self.path_score(emissions, tags, lengths)

    def path_score(
        self, emissions: paddle.Tensor, tags: paddle.Tensor, lengths: paddle.Tensor
    ) -> paddle.Tensor:
        """Return the score of each row's tags, shape (batch,), a logarithm that is not normalised.

        Args:
            emissions: As `forward` takes them.
            tags: As `forward` takes them.
            lengths: As `forward` takes them.
        """
        num_tags = emissions.shape[-1]
        mask = mask_of(tags, lengths)  # (batch, steps)
        own = paddle.take_along_axis(emissions, tags.unsqueeze(-1), axis=-1).squeeze(-1)
        score = (own * mask).sum(axis=-1)
        if tags.shape[1] > 1:  # Paddle 2.6 takes no empty tensors
            pairs = (tags[:, :-1] * num_tags + tags[:, 1:]).flatten()
            steps = self.transitions.flatten()[pairs]
            score += (steps.reshape([tags.shape[0], -1]) * mask[:, 1:]).sum(axis=-1)
        else:  # the optimiser expects a gradient
            score += 0.0 * self.transitions.sum()
        last = paddle.take_along_axis(tags, (lengths - 1).unsqueeze(-1), axis=-1).squeeze(-1)
        return score + self.start[tags[:, 0]] + self.stop[last]

    def log_partition(
        self, emissions: paddle.Tensor, lengths: Optional[paddle.Tensor]
    ) -> paddle.Tensor:
        """Return the log of the summed exp(score) over all tag sequences, shape (batch,).

        Args:
            emissions: Shape (batch, steps, tags).
            lengths: int64, shape (batch,), each at least 1; None: all rows are full.
        """
        steps = emissions.shape[1]
        mask = None
        if lengths is not None:
            mask = mask_of(emissions[:, :, 0], lengths).astype("bool").unsqueeze(-1)
        highest = self.transitions.max().detach()
        powers = paddle.exp(self.transitions - highest)  # (from, to)
        alpha = self.start + emissions[:, 0]  # (batch, tags)
        for step in range(1, steps):
            top = alpha.max(axis=-1, keepdim=True).detach()
            sums = paddle.matmul(paddle.exp(alpha - top), powers).clip(min=_TINY)
            reached = paddle.log(sums) + (top + highest) + emissions[:, step]
            alpha = reached if mask is None else paddle.where(mask[:, step], reached, alpha)
        return paddle.logsumexp(alpha + self.stop, axis=-1)

    def scores(self) -> TransitionScores:
        """Return the parameters as arrays, for `lac.network.viterbi.best_paths`."""
        return TransitionScores(*(
            np.array(part.numpy()) for part in (self.start, self.stop, self.transitions)
        ))
