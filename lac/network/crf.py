"""A linear-chain conditional random field."""

from typing import Optional

import numpy as np
import paddle
from paddle import nn

from bilm.errors import InputError
from bilm.network.contextual import mask_of
from lac.network.checks import check_range, check_shape
from lac.network.viterbi import TransitionScores

_TINY = 1e-37  # about the smallest float32; the log of 0 would be -inf


class LinearChainCRF(nn.Layer):
    """Scores of whole tag sequences.

        score(y | x) = start[y_1] + sum_t emission[t, y_t] + sum_t transitions[y_(t-1), y_t]
                       + stop[y_n]
        p(y | x) = exp(score(y | x)) / sum over y' of exp(score(y' | x))

    Source: Lafferty et al. 2001; start and stop scores as in fluid's linear_chain_crf, whose
    one parameter holds start, stop and transitions, in this order, as rows.

    Examples:
        >>> from lac.network.viterbi import best_paths
        >>> crf = LinearChainCRF(num_tags=3)
        >>> emissions = paddle.zeros([2, 4, 3])  # (batch, steps, tags)
        >>> tags = paddle.to_tensor([[0, 1, 2, 1], [2, 0, 0, 0]])
        >>> lengths = paddle.to_tensor([4, 2])
        >>> loss = crf(emissions, tags, lengths).mean()  # in nats
        >>> best_paths(emissions.numpy(), lengths.numpy(), crf.scores())[1].shape
        (2,)

    Args:
        num_tags: Number of tags.

    Raises:
        InputError: There is no tag.
    """

    def __init__(self, num_tags: int):
        super().__init__()
        if num_tags < 1:
            raise InputError(f"num_tags must be at least 1, not {num_tags}")
        self.num_tags = num_tags
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
            tags: int64, shape (batch, steps); values beyond a row's length do not count.
            lengths: int64, shape (batch,), each at least 1.

        Raises:
            InputError: Shapes do not fit each other, a length is not within the row, or there is
                no such tag. Static programs are checked for shapes only, where these are known.
        """
        self._check_all(emissions, tags, lengths)
        return self.nats(emissions, tags, lengths)

    def nats(
        self, emissions: paddle.Tensor, tags: paddle.Tensor, lengths: paddle.Tensor
    ) -> paddle.Tensor:
        """Return the same as `forward`, without its checks, which wait for the GPU.

        Args:
            emissions: Shape (batch, steps, tags).
            tags: int64, shape (batch, steps).
            lengths: int64, shape (batch,), each at least 1.
        """
        return self._log_partition(emissions, lengths) - self._path_score(emissions, tags, lengths)

    def path_score(
        self, emissions: paddle.Tensor, tags: paddle.Tensor, lengths: paddle.Tensor
    ) -> paddle.Tensor:
        """Return the score of each row's tags, not normalised, shape (batch,).

        Args:
            emissions: Shape (batch, steps, tags).
            tags: int64, shape (batch, steps); values beyond a row's length do not count.
            lengths: int64, shape (batch,), each at least 1.

        Raises:
            InputError: As `forward`.
        """
        self._check_all(emissions, tags, lengths)
        return self._path_score(emissions, tags, lengths)

    def log_partition(
        self, emissions: paddle.Tensor, lengths: Optional[paddle.Tensor] = None
    ) -> paddle.Tensor:
        """Return the log of the summed exp(score) over all tag sequences, shape (batch,).

        Args:
            emissions: Shape (batch, steps, tags).
            lengths: int64, shape (batch,), each at least 1; None: all rows are full.

        Raises:
            InputError: As `forward`.
        """
        self._check(emissions, lengths)
        return self._log_partition(emissions, lengths)

    def scores(self) -> TransitionScores:
        """Return the parameters as arrays, for `lac.network.viterbi.best_paths`."""
        return TransitionScores(*(
            np.array(part.numpy()) for part in (self.start, self.stop, self.transitions)
        ))

    def _check(self, emissions: paddle.Tensor, lengths: Optional[paddle.Tensor]) -> None:
        check_shape("emissions", emissions, batch=-1, steps=-1, tags=self.num_tags)
        batch, steps, _ = emissions.shape
        if steps == 0:
            raise InputError("emissions must have at least one step, not 0")
        if lengths is not None:
            check_shape("lengths", lengths, batch=batch)
            check_range("lengths", lengths, 1, steps)

    def _check_all(
        self, emissions: paddle.Tensor, tags: paddle.Tensor, lengths: paddle.Tensor
    ) -> None:
        self._check(emissions, lengths)
        check_shape("tags", tags, batch=emissions.shape[0], steps=emissions.shape[1])
        check_range("tags", _inside(tags, lengths), 0, self.num_tags - 1)

    def _path_score(
        self, emissions: paddle.Tensor, tags: paddle.Tensor, lengths: paddle.Tensor
    ) -> paddle.Tensor:
        mask = mask_of(tags, lengths)  # (batch, steps)
        tags = _inside(tags, lengths)
        own = paddle.take_along_axis(emissions, tags.unsqueeze(-1), axis=-1).squeeze(-1)
        score = (own * mask).sum(axis=-1)
        if tags.shape[1] > 1:  # Paddle 2.6 takes no empty tensors
            pairs = (tags[:, :-1] * self.num_tags + tags[:, 1:]).flatten()
            steps = self.transitions.flatten()[pairs]
            score += (steps.reshape([-1, tags.shape[1] - 1]) * mask[:, 1:]).sum(axis=-1)
        else:  # the optimiser expects a gradient
            score += 0.0 * self.transitions.sum()
        last = paddle.take_along_axis(tags, (lengths - 1).unsqueeze(-1), axis=-1).squeeze(-1)
        return score + self.start[tags[:, 0]] + self.stop[last]

    def _log_partition(
        self, emissions: paddle.Tensor, lengths: Optional[paddle.Tensor]
    ) -> paddle.Tensor:
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


def _inside(tags: paddle.Tensor, lengths: paddle.Tensor) -> paddle.Tensor:
    """Return the tags with 0 beyond a row's length, where anything may stand."""
    return tags * mask_of(tags, lengths).astype(tags.dtype)
