"""Cross entropies of predicted words: the full softmax in chunks, and the sampled softmax.

All values are summed or per-token nats; nobody divides here.
"""

from typing import NamedTuple, Optional

import numpy as np
import paddle
from paddle.nn import functional as F

from bilm.kernels import loading as kernels

# Logits that exist at once. Paddle's operators need several buffers for them, 64 MB each; the
# native operator needs one, 256 MB, and is slow if these are the logits of few tokens.
MAX_CHUNK_LOGITS = 1 << 24
MAX_NATIVE_LOGITS = 1 << 26


def full_softmax_nats(
    hidden: paddle.Tensor,
    targets: paddle.Tensor,
    weight: paddle.Tensor,
    bias: paddle.Tensor,
    max_chunk_logits: int = MAX_CHUNK_LOGITS,
) -> paddle.Tensor:
    """Return the exact cross entropy of each token, without a gradient.

        nats_t = log(sum_v exp(h_t . W_v + b_v)) - (h_t . W_y + b_y),  y = targets_t

    The logits are made for so many tokens at once that they number at most
    max_chunk_logits, and at least one token.

    Args:
        hidden: Shape (tokens, projection).
        targets: Shape (tokens,), int64.
        weight: Shape (vocabulary, projection).
        bias: Shape (vocabulary,).
        max_chunk_logits: Bounds memory; changes no value beyond rounding.

    Returns:
        Nats, shape (tokens,).

    Raises:
        ValueError: A target is no class (not looked at on GPUs, which it would stop), or there
            are no tokens.
    """
    _check_targets(targets, weight.shape[0])
    with paddle.no_grad():
        if kernels.is_native():
            return kernels.softmax_nats(hidden, weight, bias, targets)
        return paddle.concat([
            _nats_and_softmax(_logits(hidden[rows], weight, bias), targets[rows])[0]
            for rows in _chunks(hidden.shape[0], weight.shape[0], max_chunk_logits)
        ])


def full_softmax_loss(
    hidden: paddle.Tensor,
    targets: paddle.Tensor,
    weight: paddle.Tensor,
    bias: paddle.Tensor,
    token_weights: paddle.Tensor,
    max_chunk_logits: int = 0,
) -> paddle.Tensor:
    """Return sum_t token_weights_t * nats_t of `full_softmax_nats`, with a gradient.

    The gradient is computed beside the loss, chunk by chunk, so that the logits of all
    tokens never exist at once. Dynamic mode only.

    Args:
        hidden: Shape (tokens, projection).
        targets: Shape (tokens,), int64.
        weight: Shape (vocabulary, projection).
        bias: Shape (vocabulary,).
        token_weights: Shape (tokens,), constant; 0 leaves a token out.
        max_chunk_logits: Bounds memory; 0: what suits the operators that compute.

    Returns:
        A scalar tensor.

    Raises:
        ValueError: As of `full_softmax_nats`.
    """
    _check_targets(targets, weight.shape[0])
    constants = targets, token_weights
    if kernels.is_native():
        limit = max_chunk_logits or MAX_NATIVE_LOGITS
        return _NativeSoftmaxLoss.apply(hidden, weight, bias, None, *constants, limit)
    limit = max_chunk_logits or MAX_CHUNK_LOGITS
    return _FullSoftmaxLoss.apply(hidden, weight, bias, *constants, limit)


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


class _NativeSoftmaxLoss(paddle.autograd.PyLayer):
    @staticmethod
    def forward(ctx, hidden, weight, bias, extra, targets, token_weights, max_logits):
        nats, *gradients = kernels.softmax_loss(
            hidden, weight, bias, targets, token_weights, extra, max_logits
        )
        ctx.gradients = _asked_for(gradients, (hidden, weight, bias, extra))
        return (nats.astype("float64") * token_weights.astype("float64")).sum().astype("float32")

    @staticmethod
    def backward(ctx, upstream):
        gradients, ctx.gradients = ctx.gradients, None  # they are given away
        return (*(gradients if upstream.item() == 1 else _scaled(gradients, upstream)), None, None)


class _FullSoftmaxLoss(paddle.autograd.PyLayer):
    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, token_weights, max_chunk_logits):
        loss = paddle.zeros([], dtype="float64")
        hidden_gradients = []
        weight_gradient, bias_gradient = paddle.zeros_like(weight), paddle.zeros_like(bias)
        for rows in _chunks(hidden.shape[0], weight.shape[0], max_chunk_logits):
            logits = _logits(hidden[rows], weight, bias)
            nats, probabilities = _nats_and_softmax(logits, targets[rows])
            weights = token_weights[rows]
            loss += (nats.astype("float64") * weights.astype("float64")).sum()
            # d loss / d logits = token weight * (softmax - one hot)
            gradient = paddle.put_along_axis(
                probabilities, targets[rows].unsqueeze(1), paddle.full([1, 1], -1.0), 1, "add"
            )
            gradient *= weights.unsqueeze(1)
            hidden_gradients.append(paddle.matmul(gradient, weight))
            weight_gradient += paddle.matmul(gradient, hidden[rows], transpose_x=True)
            bias_gradient += gradient.sum(axis=0)
        gradients = paddle.concat(hidden_gradients), weight_gradient, bias_gradient
        ctx.gradients = _asked_for(gradients, (hidden, weight, bias))
        return loss.astype(hidden.dtype)

    @staticmethod
    def backward(ctx, upstream):
        gradients, ctx.gradients = ctx.gradients, None  # they are given away
        return (*_scaled(gradients, upstream), None, None)


def _asked_for(gradients, tensors):
    """Return what Paddle wants: a gradient for each tensor, None for those that are constant."""
    return [None if tensor.stop_gradient else gradient
            for gradient, tensor in zip(gradients, tensors) if tensor is not None]


def _scaled(gradients, upstream):
    return [gradient if gradient is None else gradient * upstream for gradient in gradients]


def _chunks(num_tokens, vocab_size, max_chunk_logits):
    step = max(1, max_chunk_logits // vocab_size)
    for start in range(0, num_tokens, step):
        yield slice(start, start + step)


def _logits(hidden, weight, bias):
    # (tokens, projection) x (vocabulary, projection) -> (tokens, vocabulary)
    return paddle.matmul(hidden, weight, transpose_y=True) + bias


def _nats_and_softmax(logits, targets):
    # Paddle's own cross entropy never exceeds 64 nats on the CPU, so only the largest logit,
    # whose probability is at least 1 / vocabulary, is taken from its softmax.
    probabilities = F.softmax(logits)
    log_total = logits.max(axis=1) - paddle.log(probabilities.max(axis=1))
    return log_total - _pick(logits, targets), probabilities


def _pick(logits, classes):
    return paddle.take_along_axis(logits, classes.unsqueeze(1), axis=1).squeeze(1)


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


class LogUniformSampler:
    """Draws classes without replacement, frequent ones (low ids) more often.

    A class k has log-uniform probability p_k = log((k + 2) / (k + 1)) / log(V + 1). The
    draw holds it with probability 1 - (1 - p_k)^tries, where tries is chosen such that
    these sum to num_candidates. It is systematic sampling from the classes in random
    order, so exactly num_candidates distinct classes are drawn and these probabilities
    are exact; the usual loop (draw, drop repetitions, go on) knows them approximately.

    Source: bilm-tf and LARK for the distribution; Hartley and Rao 1962, "Sampling with
    Unequal Probabilities and without Replacement", for the draw.

    Args:
        num_classes: V; ids must be ordered by falling frequency.
        num_candidates: Between 1 and num_classes.

    Raises:
        ValueError: It is not.
    """

    def __init__(self, num_classes: int, num_candidates: int):
        if not 1 <= num_candidates <= num_classes:
            raise ValueError(
                f"num_candidates must be between 1 and {num_classes}, not {num_candidates}"
            )
        self.num_candidates = num_candidates
        ranks = np.arange(num_classes, dtype=np.float64)
        probabilities = np.log1p(1 / (ranks + 1)) / np.log(num_classes + 1)
        self.expected_counts = _inclusion_probabilities(probabilities, num_candidates)

    def draw(self, targets: np.ndarray, random: np.random.Generator) -> Candidates:
        """Return candidates for the tokens that have the given targets.

        Args:
            targets: Class ids, shape (tokens,); they do not change what is drawn.
            random: Its state moves on; the same state draws the same.
        """
        order = random.permutation(len(self.expected_counts))
        ends = np.cumsum(self.expected_counts[order])
        ends *= self.num_candidates / ends[-1]  # takes off the sum's rounding error
        marks = random.random() + np.arange(self.num_candidates)
        places = np.minimum(np.searchsorted(ends, marks, side="right"), len(order) - 1)
        ids = np.sort(order[places])
        found = np.minimum(np.searchsorted(ids, targets), len(ids) - 1)
        return Candidates(
            ids.astype(np.int64),
            self.expected_counts[ids],
            self.expected_counts[targets],
            np.where(ids[found] == targets, found, -1),
        )


def _inclusion_probabilities(probabilities, num_candidates):
    # 1 - (1 - p)^tries grows with tries; bisection finds where it sums to num_candidates
    if num_candidates == len(probabilities):
        return np.ones_like(probabilities)
    miss = np.log1p(-probabilities) if len(probabilities) > 1 else probabilities
    low, high = 0.0, 1.0
    while -np.expm1(high * miss).sum() < num_candidates:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        if -np.expm1(middle * miss).sum() < num_candidates:
            low = middle
        else:
            high = middle
    inclusion = -np.expm1(high * miss)
    return inclusion * (num_candidates / inclusion.sum())


def sampled_softmax_nats(
    hidden: paddle.Tensor,
    targets: paddle.Tensor,
    weight: paddle.Tensor,
    bias: paddle.Tensor,
    candidates: Candidates,
    sparse: bool = False,
) -> paddle.Tensor:
    """Return an estimate of each token's cross entropy from a sample of the vocabulary.

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
        sparse: Whether the weight's gradient holds the touched rows only (SelectedRows).

    Returns:
        Nats, shape (tokens,).
    """
    rows, biases = _rows_of(candidates.ids, candidates.expected_counts, weight, bias, sparse)
    scores = paddle.matmul(hidden, rows, transpose_y=True) + biases  # (tokens, candidates)
    target_rows = F.embedding(targets, weight, sparse=sparse)  # (tokens, projection)
    target_scores = (hidden * target_rows).sum(axis=1) + paddle.gather(bias, targets)
    target_scores = target_scores - _log_tensor(candidates.target_expected_counts)
    total = _log_sum_exp(scores)
    # A target that is no candidate joins the sum; one that is stands in it already.
    absent = paddle.to_tensor(
        np.where(candidates.target_places >= 0, -1e30, 0.0).astype(np.float32)
    )
    return paddle.logaddexp(total, target_scores + absent) - target_scores


def sampled_softmax_loss(
    hidden: paddle.Tensor,
    targets: paddle.Tensor,
    weight: paddle.Tensor,
    bias: paddle.Tensor,
    candidates: Candidates,
    token_weights: paddle.Tensor,
    sparse: bool = False,
) -> paddle.Tensor:
    """Return sum_t token_weights_t * nats_t of `sampled_softmax_nats`, a scalar with a gradient.

    Args:
        hidden: Shape (tokens, projection).
        targets: Shape (tokens,), int64.
        weight: Shape (vocabulary, projection).
        bias: Shape (vocabulary,).
        candidates: Drawn for these targets.
        token_weights: Shape (tokens,), constant; 0 leaves a token out.
        sparse: As in `sampled_softmax_nats`.
    """
    if not kernels.is_native():
        nats = sampled_softmax_nats(hidden, targets, weight, bias, candidates, sparse)
        return (nats * token_weights).sum()
    rows, biases = _rows_of(
        candidates.ids, candidates.expected_counts, weight, bias, sparse
    )
    extra = paddle.zeros([hidden.shape[0]])
    absent = np.flatnonzero(candidates.target_places < 0)
    if len(absent):
        target_rows, target_biases = _rows_of(
            targets.numpy()[absent], candidates.target_expected_counts[absent], weight, bias, sparse
        )
        places = paddle.to_tensor(absent)
        scores = (paddle.gather(hidden, places) * target_rows).sum(axis=1) + target_biases
        extra = paddle.scatter(extra, places, scores)
    places = paddle.to_tensor(candidates.target_places)
    return _NativeSoftmaxLoss.apply(
        hidden, rows, biases, extra, places, token_weights, MAX_NATIVE_LOGITS
    )


def _rows_of(ids, expected_counts, weight, bias, sparse):
    """Return the weights (ids, projection) of classes, and their biases corrected for sampling."""
    ids = paddle.to_tensor(ids)
    biases = paddle.gather(bias, ids) - _log_tensor(expected_counts)
    return F.embedding(ids, weight, sparse=sparse), biases


def _log_sum_exp(scores):
    # The cross entropy of a class is log(sum(exp)) less its score, and on the CPU it takes a
    # third of the time of paddle.logsumexp and its gradient. Of the best class it is small:
    # Paddle's never exceeds 64 nats.
    best = scores.detach().argmax(axis=1)
    return F.cross_entropy(scores, best, reduction="none") + _pick(scores, best)


def _log_tensor(values: np.ndarray) -> paddle.Tensor:
    return paddle.to_tensor(np.log(values).astype(np.float32))


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
    return paddle.to_tensor(weights if mask is None else weights * mask.reshape(-1))
