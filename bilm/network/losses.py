"""Cross entropies of predicted words, of the full softmax.

Losses are sums in nats; callers normalise them. The sampled softmax is an operator:
`bilm.kernels.operators.sampled_softmax_loss`.
"""

from typing import Optional

import numpy as np
import paddle

from bilm.kernels import operators
from bilm.paddle_compat import as_tensor


def full_softmax_nats(
    hidden: paddle.Tensor,
    targets: paddle.Tensor,
    weight: paddle.Tensor,
    bias: paddle.Tensor,
    max_logits: int = 0,
) -> paddle.Tensor:
    """Return the exact cross entropy of each token, shape (tokens,), without a gradient.

        nats_t = log(sum_v exp(h_t . W_v + b_v)) - (h_t . W_y + b_y),  y = targets_t

    Args:
        hidden: Shape (tokens, projection).
        targets: Shape (tokens,), int64.
        weight: Shape (vocabulary, projection).
        bias: Shape (vocabulary,).
        max_logits: Logits that may exist at once, but at least those of one token; it changes no
            value beyond rounding. 0: as many as suit the operators that compute.

    Raises:
        ValueError: A target is no class (not looked at on GPUs, which it would stop), or there
            are no tokens.
    """
    _check_targets(targets, weight.shape[0])
    with paddle.no_grad():
        return operators.softmax_nats(hidden, targets, weight, bias, max_logits)


def full_softmax_loss(
    hidden: paddle.Tensor,
    targets: paddle.Tensor,
    weight: paddle.Tensor,
    bias: paddle.Tensor,
    token_weights: paddle.Tensor,
    max_logits: int = 0,
) -> paddle.Tensor:
    """Return sum_t token_weights_t * nats_t, a scalar with a gradient.

    The nats are those of `full_softmax_nats`. The gradient is computed with the loss, so that the
    logits of all tokens never exist at once. Dynamic mode only.

    Args:
        hidden: Shape (tokens, projection).
        targets: Shape (tokens,), int64.
        weight: Shape (vocabulary, projection).
        bias: Shape (vocabulary,).
        token_weights: Shape (tokens,), constant; 0 leaves a token out.
        max_logits: Logits that may exist at once, but at least those of one token; it changes no
            value beyond rounding. 0: as many as suit the operators that compute.

    Raises:
        ValueError: A target is no class (not looked at on GPUs, which it would stop), or there
            are no tokens.
    """
    _check_targets(targets, weight.shape[0])
    return operators.softmax_loss(hidden, targets, weight, bias, token_weights, max_logits)


def _check_targets(targets, num_classes):
    if not targets.shape[0]:
        raise ValueError("there are no tokens")
    if not targets.place.is_cpu_place():
        return
    ids = targets.numpy()
    wrong = np.flatnonzero((ids < 0) | (ids >= num_classes))
    if len(wrong):
        raise ValueError(f"targets must be from 0 to {num_classes - 1}, not {ids[wrong[0]]} "
                         f"(token {wrong[0]})")


def token_weights(mask: Optional[np.ndarray], num_tokens: int, scale: float) -> paddle.Tensor:
    """Return `scale` for each token that counts and 0 for each that does not.

    Args:
        mask: Booleans, any shape with num_tokens elements; None means that all count.
        num_tokens: All of them, whether they count or not.
        scale: Such as one part in the tokens that count, which makes a sum a mean.

    Returns:
        Shape (num_tokens,), float32.
    """
    weights = np.full([num_tokens], scale, np.float32)
    return as_tensor(weights if mask is None else weights * mask.reshape(-1))
